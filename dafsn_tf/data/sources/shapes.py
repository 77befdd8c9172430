"""Reader of `shapes`, a collection that is generated, not downloaded.

A scene is 96 x 96 pixels with one to three figures of different kinds, coloured, sized and placed; its five captions
name them and how they lie to each other. Its label is the kind of the largest figure. Scene i of a split is a function
of (seed, split, i) alone: nothing is read, nothing is fetched, and a collection can be made again from its seed.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from dafsn_tf.data.items import SPLITS, Item
from dafsn_tf.data.problems import Problems
from dafsn_tf.data.sources.shapes_captions import describe
from dafsn_tf.data.sources.shapes_drawing import COLOURS, KINDS, SIDE, Figure, draw, outline, shade
from dafsn_tf.errors import DataError

_Option = TypeVar("_Option")

SIZES: Mapping[str, int] = {"train": 4000, "validation": 400, "test": 400}  # scenes a split
_PIXELS = {"small": (27, 28.5), "medium": (34, 37), "large": (46, 51)}  # range of the root of a box's area
_COUNTS = (1, 2, 2, 2, 3, 3, 3)  # figures of a scene, each entry as likely as the other
_SIZE_SETS = {  # sizes that figures of one scene may have, the largest first and alone in its size
    1: (("small",), ("medium",), ("large",)),
    2: (("large", "medium"), ("large", "small"), ("medium", "small")),
    3: (
        ("large", "medium", "medium"),
        ("large", "medium", "small"),
        ("large", "small", "small"),
        ("medium", "small", "small"),
    ),
}
_ONE_COLOUR = 0.3  # share of scenes whose figures share a colour, so that only their kinds tell them apart
_TURN = 0.2  # greatest turn of a figure, radians
_MARGIN = 2  # pixels between two boxes, and between a box and the border
_ATTEMPTS = 40  # places tried for a figure before the whole scene is laid out anew


def read(source: Path | None, problems: Problems, seed: int = 0, sizes: Mapping[str, int] = SIZES) -> Iterator[Item]:
    """Return the scenes of every split of `sizes`, one `Item` each, classes in equal numbers.

    Args:
        source: unused; every reader takes it.
        problems: unused; a generated collection has none.
        seed: not negative; another seed gives other scenes.
        sizes: scenes of each split.

    Raises:
        DataError: a negative seed or size, or a split that does not exist.
    """
    if seed < 0:
        raise DataError(f"shapes: the seed is {seed}; it must not be negative.")
    for split, size in sizes.items():
        if split not in SPLITS or size < 0:
            raise DataError(f"shapes: {size} scenes of split '{split}'; expected 0 or more of {', '.join(SPLITS)}.")
    return (scene(seed, split, index) for split, size in sizes.items() for index in range(size))


def scene(seed: int, split: str, index: int) -> Item:
    """Return scene `index` of a split: picture, captions, label, and the box of every figure, the largest first."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    figures = _compose(KINDS[index % len(KINDS)], rng)
    texts, mentions = describe(figures, rng)
    return Item(
        id=f"{split}-{index:05d}",
        image=draw(figures, rng),
        texts=texts,
        labels=(figures[0].kind,),
        split=split,
        boxes=tuple(figure.box for figure in figures),
        mentions=mentions,
    )


def _compose(largest: str, rng: np.random.Generator) -> tuple[Figure, ...]:
    """Return the figures of a scene, the first of the kind `largest`."""
    sizes = _pick(_SIZE_SETS[_pick(_COUNTS, rng)], rng)
    kinds = [largest]
    while len(kinds) < len(sizes):
        kind = _pick(KINDS, rng)
        if kind not in kinds:
            kinds.append(kind)
    outlines: list[np.ndarray] = []
    corners = None
    while corners is None:
        outlines = [
            outline(kind, rng.uniform(*_PIXELS[size]), rng.uniform(-_TURN, _TURN))
            for kind, size in zip(kinds, sizes, strict=True)
        ]
        corners = _lay_out([points.max(0) for points in outlines], rng)
    colours = [_pick(tuple(COLOURS), rng) for _ in kinds]
    if rng.random() < _ONE_COLOUR:
        colours = colours[:1] * len(kinds)
    return tuple(
        Figure(kind, colour, size, shade(colour, rng), points + corner)
        for kind, colour, size, points, corner in zip(kinds, colours, sizes, outlines, corners, strict=True)
    )


def _lay_out(extents: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray] | None:
    """Return upper left corners that keep boxes of these widths and heights apart, or None where one found no place."""
    placed: list[np.ndarray] = []
    for extent in extents:
        tried = _MARGIN + rng.random((_ATTEMPTS, 2)) * (SIDE - 2 * _MARGIN - extent)
        free = np.ones(_ATTEMPTS, bool)
        for corner, other in zip(placed, extents, strict=False):
            free &= ((tried + extent + _MARGIN <= corner) | (tried >= corner + other + _MARGIN)).any(1)
        if not free.any():
            return None
        placed.append(tried[free.argmax()])
    return placed


def _pick(options: Sequence[_Option], rng: np.random.Generator) -> _Option:
    return options[int(rng.integers(len(options)))]
