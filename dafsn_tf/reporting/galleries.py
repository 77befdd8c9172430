"""Galleries of a report: the best, the median and the worst queries of both directions, and what each run found."""

import io
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from dafsn_client.images import opened
from dafsn_tf.data.records import RecordSplit
from dafsn_tf.evaluation.protocols import Direction
from dafsn_tf.reporting import page
from dafsn_tf.reporting.figure import Canvas
from dafsn_tf.reporting.measured import Measured
from dafsn_tf.reporting.metric_tables import direction_title
from dafsn_tf.reporting.pictures import Found, fitted, gallery

SHOWN = 5  # results of a query
EACH = 2  # queries of each kind
_SIDE = 200  # pixels, longer side of a picture on the page
_MARKS = {"own": "✓ own match", "alike": "✓ same class", "other": "✗ other"}


def galleries_section(measured: Sequence[Measured], records: RecordSplit, canvas: Canvas) -> str:
    """Return the HTML of the galleries; queries are chosen by the first run, and the same for all."""
    first = measured[0]
    classes = first.collection.has_classes
    said = "A solid frame and ✓ mark the query's own match" + (
        ", a double frame and ✓ one of its class," if classes else ","
    )
    parts = [page.paragraph(f"{said} a dashed frame and ✗ anything else.")]
    if len(measured) > 1:
        parts.append(page.paragraph(f"Queries are chosen by {first.name}; the others answer the same ones."))
    for direction in ("text_to_image", "image_to_text"):
        parts.append(page.heading(f"{direction_title(direction).capitalize()}: best, median and worst queries"))
        for kind, queries in chosen_queries(first, direction).items():
            parts += [_query(kind, query, direction, measured, records) for query in queries]
    _write_pictures(measured, records, canvas)
    return "".join(parts)


def chosen_queries(one: Measured, direction: str, each: int = EACH) -> dict[str, list[int]]:
    """Return the best, the median and the worst queries by average precision, then by their own match's rank.

    Each is of another picture, as far as there are pictures; a query without a relevant item is not shown.
    """
    values = one.query_values(one.judged, one.collection.documents)[direction]
    precision, rank, image = values["map@all"], values["median_rank"], values["image"]
    order = [int(query) for query in np.lexsort((rank, -precision)) if not np.isnan(precision[query])]
    middle = max(0, (len(order) - each) // 2)
    seen: set[int] = set()
    kept: dict[str, list[int]] = {}
    for kind, candidates in (("best", order), ("worst", order[::-1]), ("median", order[middle:])):
        kept[kind] = []
        for query in candidates:
            if len(kept[kind]) < each and image[query] not in seen:
                kept[kind].append(query)
                seen.add(image[query])
    return {kind: kept[kind] for kind in ("best", "median", "worst")}


def top(ranked: Direction, query: int, count: int = SHOWN) -> list[int]:
    """Return the first items of a query's ranking; of equal scores the non-relevant first, as in every metric."""
    return np.lexsort((ranked.relevant[query], -ranked.scores[query]))[:count].tolist()


def _query(kind: str, query: int, direction: str, measured: Sequence[Measured], records: RecordSplit) -> str:
    first = measured[0]
    image = int(first.directions[direction].query_image[query])
    if direction == "text_to_image":
        asked = f"<blockquote>{escape(_text(first, direction, query, records))}</blockquote>"
    else:
        asked = page.picture(_thumbnail(records, image), f"Query picture: {records.texts[image][0]}")
    rows = []
    for one in measured:
        ranked = one.directions[direction]
        values = one.query_values(one.judged, one.collection.documents)[direction]
        title = (
            f"{one.name}: average precision {values['map@all'][query]:.2f}, own match at rank "
            f"{values['median_rank'][query]:.0f} of {ranked.scores.shape[1]}"
        )
        items = [
            _hit(place, item, query, ranked, direction, one, records)
            for place, item in enumerate(top(ranked, query), 1)
        ]
        rows.append(f'<h4>{escape(title)}</h4><ol class="hits">{"".join(items)}</ol>')
    own = ", ".join(name for name, has in zip(records.manifest.classes, records.labels[image], strict=False) if has)
    note = f"{kind} query; class {own}" if own else f"{kind} query"
    return f'<div class="query"><div class="asked">{asked}<p class="pale">{escape(note)}</p></div>{"".join(rows)}</div>'


def _hit(
    place: int, item: int, query: int, ranked: Direction, direction: str, one: Measured, records: RecordSplit
) -> str:
    kind = "own" if ranked.pairs[query, item] else "alike" if ranked.relevant[query, item] else "other"
    image = int(ranked.gallery_image[item])
    if direction == "text_to_image":
        shown = page.picture(_thumbnail(records, image), records.texts[image][0])
    else:
        shown = escape(_text(one, "image_to_text", item, records))
    mark = f'<span class="mark">{place}. {_MARKS[kind]}</span>'
    return f'<li class="{kind}">{mark}{shown}<small>score {ranked.scores[query, item]:.3f}</small></li>'


def _text(one: Measured, direction: str, text: int, records: RecordSplit) -> str:
    """Return a text, sentence or document, as the gallery shows it."""
    ranked = one.directions[direction]
    if one.collection.documents:
        image = int((ranked.query_image if direction == "text_to_image" else ranked.gallery_image)[text])
        first, *rest = records.texts[image]
        return f"{first} (and {len(rest)} more sentences)" if rest else first
    text_image = one.collection.text_image
    return records.texts[text_image[text]][text - int(np.searchsorted(text_image, text_image[text]))]


def _opened(records: RecordSplit, image: int) -> Image.Image:
    return opened(records.read_images([image])[0])


def _thumbnail(records: RecordSplit, image: int) -> bytes:
    stream = io.BytesIO()
    fitted(_opened(records, image), _SIDE).save(stream, "JPEG", quality=80)
    return stream.getvalue()


def _write_pictures(measured: Sequence[Measured], records: RecordSplit, canvas: Canvas) -> None:
    """Write the text-to-image galleries as PNG files too."""
    direction = "text_to_image"
    queries = [query for kind in chosen_queries(measured[0], direction).values() for query in kind]
    if not queries:
        return
    texts = [_text(measured[0], direction, query, records) for query in queries]
    for number, one in enumerate(measured, start=1):
        ranked = one.directions[direction]
        rows = [
            [
                Found(
                    _opened(records, int(ranked.gallery_image[item])),
                    float(ranked.scores[query, item]),
                    bool(ranked.relevant[query, item]),
                )
                for item in top(ranked, query)
            ]
            for query in queries
        ]
        gallery(texts, rows, canvas.folder / f"gallery-{number}.png")
