"""Captions of the `shapes` scenes: English sentences that are true of the boxes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dafsn_tf.data.items import Mention
from dafsn_tf.data.sources.shapes_drawing import Figure

CAPTIONS = 5  # captions a scene
_SIZE_WORDS = {"small": ("small", "little", "tiny"), "medium": ("medium",), "large": ("large", "big", "huge")}
_SIZE_SHARE = 0.6  # share of noun phrases that name the size; the largest of several figures always has its size
_COLOUR_SHARE = 0.5  # share that name the colour; the rest leaves it to the noun to tell where to look
_PARTIAL_SHARE = 0.05  # share of captions that are silent about one of several figures
_BOTH_SHARE = 0.75  # share of relations that name both axes where both are clear: "above and to the left of"
_RELATION_WORDS = {
    "above": ("above", "over"),
    "below": ("below", "under", "beneath"),
    "left": ("to the left of", "left of"),
    "right": ("to the right of", "right of"),
}
_MIDDLE = (0.43, 0.57)  # a figure whose centre lies between is neither left nor right, neither high nor low

# [A] a noun phrase, [A=] the bare noun, [A@] the part of the picture where A lies, [A:B] how A lies to B.
_TEMPLATES: dict[int, tuple[str, ...]] = {
    1: (
        "[A] [A@]",
        "there is [A] [A@]",
        "the picture shows [A] [A@]",
        "[A@] there is [A]",
        "[A] lies [A@]",
        "you can see [A] [A@]",
        "we see [A] that is [A@]",
    ),
    2: (
        "[A] [A:B] [B]",
        "there is [A] [A:B] [B]",
        "[A] is [A:B] [B]",
        "[A:B] [B] there is [A]",
        "[B] with [A] [A:B] it",
        "[A] and, [B:A] it, [B]",
        "we see [A] that lies [A:B] [B]",
    ),
    3: (
        "[A] [A:B] [B], and [C] [C:B] it",
        "[A] is [A:B] [B] and [A:C] [C]",
        "there is [A] [A:B] [B], with [C] [C:A] the [A=]",
        "[B] with [A] [A:B] it and [C] [C:B] it",
        "[A], [B] and, [C:B] it, [C]",
        "[A:B] [B] there is [A], which is [A:C] [C]",
        "we see [A] [A:B] [B] that lies [B:C] [C]",
    ),
}
_TOKEN = re.compile(r"\[(?P<subject>[ABC])(?:(?P<noun>=)|(?P<place>@)|:(?P<other>[ABC]))?\]")


@dataclass(frozen=True)
class _Noun:
    start: int
    end: int
    box: int


def describe(figures: Sequence[Figure], rng: np.random.Generator) -> tuple[tuple[str, ...], tuple[Mention, ...]]:
    """Return `CAPTIONS` different captions of a scene, each of which mentions the largest figure, and their mentions.

    Args:
        figures: one to three, of different kinds, the largest first; `Mention.box` counts in their order.
        rng: decides phrasing, order and detail.
    """
    captions: dict[str, list[_Noun]] = {}
    while len(captions) < CAPTIONS:
        text, nouns = _caption(figures, rng)
        captions.setdefault(text, nouns)
    mentions = (
        Mention(index, noun.start, noun.end, noun.box)
        for index, nouns in enumerate(captions.values())
        for noun in nouns
    )
    return tuple(captions), tuple(mentions)


def relations(subject: Figure, other: Figure) -> list[str]:
    """Return the relations in which a figure clearly stands to another: "above", "below", "left", "right"; one or two.

    A relation holds where the boxes do not overlap along its axis and the centres lie at least half as far apart along
    it as along the other axis.
    """
    across, down = _centre(subject) - _centre(other)
    held = []
    if _apart(subject.box[1::2], other.box[1::2]) and 2 * abs(down) >= abs(across):
        held.append("above" if down < 0 else "below")
    if _apart(subject.box[::2], other.box[::2]) and 2 * abs(across) >= abs(down):
        held.append("left" if across < 0 else "right")
    return held


def place(figure: Figure) -> str:
    """Return where a figure lies in the picture, as in "in the upper left" or "in the middle"."""
    low, high = _MIDDLE
    x, y = _centre(figure)
    column = "left" if x < low else "right" if x > high else ""
    row = "upper" if y < low else "lower" if y > high else ""
    if row and column:
        return f"in the {row} {column}"
    if row:
        return "at the top" if row == "upper" else "at the bottom"
    return f"on the {column}" if column else "in the middle"


def _caption(figures: Sequence[Figure], rng: np.random.Generator) -> tuple[str, list[_Noun]]:
    chosen = list(range(len(figures)))
    if len(chosen) > 1 and rng.random() < _PARTIAL_SHARE:
        chosen.pop(rng.integers(1, len(chosen)))
    order = dict(zip("ABC", rng.permutation(chosen).tolist(), strict=False))
    template = _pick(_TEMPLATES[len(chosen)], rng)
    text, nouns, position = "", [], 0
    for token in _TOKEN.finditer(template):
        text += template[position : token.start()]
        position = token.end()
        box = order[token["subject"]]
        if token["place"]:
            text += place(figures[box])
        elif token["other"]:
            text += _relation_phrase(figures[box], figures[order[token["other"]]], rng)
        else:
            kind = figures[box].kind
            largest_of_several = box == 0 and len(figures) > 1
            text += kind if token["noun"] else _noun_phrase(figures[box], rng, name_size=largest_of_several)
            nouns.append(_Noun(len(text) - len(kind), len(text), box))  # ASCII throughout: characters are bytes
    return text + template[position:], nouns


def _noun_phrase(figure: Figure, rng: np.random.Generator, *, name_size: bool) -> str:
    words = [figure.kind]
    if rng.random() < _COLOUR_SHARE:
        words.insert(0, figure.colour)
    if rng.random() < _SIZE_SHARE or name_size:
        words.insert(0, _pick(_SIZE_WORDS[figure.size], rng))
    return " ".join(["an" if words[0][0] in "aeiou" else "a", *words])


def _relation_phrase(subject: Figure, other: Figure, rng: np.random.Generator) -> str:
    held = relations(subject, other)
    if len(held) == 2 and rng.random() < _BOTH_SHARE:
        return f"{held[0]} and {_RELATION_WORDS[held[1]][0]}"
    return _pick(_RELATION_WORDS[_pick(held, rng)], rng)


def _centre(figure: Figure) -> np.ndarray:
    left, top, right, bottom = figure.box
    return np.array([(left + right) / 2, (top + bottom) / 2])


def _apart(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[1] <= other[0] or other[1] <= one[0]


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
