"""What the words looked at: the attention of some texts over their own pictures, one figure a run and pair."""

import io
from collections.abc import Sequence
from html import escape

import numpy as np

from dafsn_client import InputError
from dafsn_client.images import opened
from dafsn_tf.data.records import RecordSplit
from dafsn_tf.errors import DataError
from dafsn_tf.reporting import page
from dafsn_tf.reporting.attention import WordAttention, attention_figure, from_outputs, write_figure
from dafsn_tf.reporting.figure import Canvas
from dafsn_tf.reporting.galleries import chosen_queries
from dafsn_tf.reporting.measured import Measured

_CLEAR_PEAK = 1.5  # even shares, from which on a word has preferred a place
_SIDES = ("upper", "middle", "lower"), ("left", "middle", "right")


def words_section(measured: Sequence[Measured], records: RecordSplit, canvas: Canvas) -> str:
    """Return the HTML of the attention; of runs that never learned words it says that they look nowhere.

    The pairs are the first text query of each kind of the galleries, with its own picture, the same for all runs.
    """
    looking = [one for one in measured if one.run and one.run.config.loss.learns_words]
    parts = []
    silent = [one.name for one in measured if one.run and not one.run.config.loss.learns_words]
    if silent:
        parts.append(
            page.paragraph(f"{', '.join(silent)} never learned words (no loss of theirs has weight): nothing to show.")
        )
    pairs = _pairs(measured[0])
    for number, one in enumerate(looking, start=1):
        for place, (text, image) in enumerate(pairs, start=1):
            words = records.texts[image][text - int((one.collection.text_image == image).argmax())]
            title = f"{one.name}: “{words}”"
            parts.append(page.heading(title))
            try:
                attention = _attention(one, words, text, image)
            except DataError as error:
                parts.append(page.paragraph(f"There is nothing to draw: {error}"))
                continue
            (picture,) = records.read_images([image])
            parts.append(_figure(title, attention, picture, f"attention-{number}-{place}", canvas))
    return "".join(parts) or page.paragraph("No run here has words that look at regions.")


def _pairs(one: Measured) -> list[tuple[int, int]]:
    """Return the indices of a text and its picture for the best, the median and the worst query."""
    image_of_query = one.directions["text_to_image"].query_image
    pairs = []
    for queries in chosen_queries(one, "text_to_image").values():
        for query in queries[:1]:
            image = int(image_of_query[query])
            first = int((one.collection.text_image == image).argmax())
            pairs.append((first if one.collection.documents else query, image))
    return pairs


def _attention(one: Measured, words: str, text: int, image: int) -> WordAttention:
    assert one.run is not None
    assert one.embeddings is not None
    found = one.embeddings
    row = slice(text, text + 1)
    model = one.run.model
    seen = model.attention.attend(found.words[row], found.word_mask[row], found.regions[image : image + 1])
    outputs = {
        **{name: values[row, image] for name, values in one.scores.items()},
        "attention": np.asarray(seen["attention"]),
        "word_relevance": np.asarray(seen["word_relevance"]),
        "word_mask": found.word_mask[row],
        "word_offsets": found.word_offsets[row],
        "region_centres": np.asarray(model.image_encoder.region_centres)[None],
        "status": np.zeros(1, np.int32),
    }
    return from_outputs([words], outputs)[0]


def _figure(title: str, attention: WordAttention, picture: bytes, name: str, canvas: Canvas) -> str:
    try:
        figure = attention_figure(attention, opened(picture))
        for kind in ("png", "svg"):
            write_figure(figure, canvas.folder / f"{name}.{kind}")
    except InputError as error:
        return page.paragraph(f"There is nothing to draw: {error}")
    stream = io.BytesIO()
    figure.savefig(stream, format="jpeg", dpi=120, pil_kwargs={"quality": 85})
    rows = [
        [
            attention.words[word],
            f"{attention.relevances[word]:+.2f}",
            f"{attention.even_shares[word].max():.1f}",
            _place(attention, word),
        ]
        for word in range(len(attention.words))
    ]
    strongest = max(attention.content, key=lambda word: attention.weights[word])
    alt = (
        f"Where the words of “{attention.text}” looked: "
        + ", ".join(f"{attention.words[word]} at the {_place(attention, word)}" for word in attention.content)
        + ". The table below has every word."
    )
    peak = float(attention.even_shares[strongest].max())
    if peak < _CLEAR_PEAK:
        caption = (
            f"No word preferred a place: even “{attention.words[strongest]}” peaks at {peak:.1f} even shares only."
        )
    else:
        caption = (
            f"Yellow is where a word looked: “{attention.words[strongest]}” says most about this picture and looked at "
            f"its {_place(attention, strongest)}, {peak:.1f} times an even share."
        )
    head = ["word", "relevance (cosine)", "peak (multiple of an even share)", "peak's place"]
    return (
        f'<figure class="attention"><div class="scroll" role="region" aria-label="{escape(title)}" tabindex="0">'
        f"{page.picture(stream.getvalue(), alt)}</div></figure>"
        + page.paragraph(caption, "pale")
        + page.folded("The words as a table", page.table(f"The words of {title}", head, rows))
    )


def _place(attention: WordAttention, word: int) -> str:
    """Return which ninth of the picture holds a word's peak, as people say it."""
    x, y = attention.region_centres[attention.peaks[word]]
    row, column = (names[min(2, int(3 * share))] for names, share in zip(_SIDES, (y, x), strict=True))
    return "middle" if row == column == "middle" else f"{row} {column}"
