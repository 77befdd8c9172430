"""The pointing game: does the attention of a noun peak inside the object that it names?

After Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dafsn_tf.data.items import Mention
from dafsn_tf.errors import DataError, RunError

NO_MENTIONS = "The pointing game needs records that say which noun names which box; these have none."


@dataclass(frozen=True)
class Share:
    """How often the attention of some nouns peaked inside their box, and how often a point drawn evenly would."""

    nouns: int
    accuracy: float  # [0, 1]
    chance: float  # mean area of the boxes, [0, 1]


@dataclass(frozen=True)
class PointingResult:
    """The outcome of a pointing game; shares are in [0, 1].

    Attributes:
        hits: nouns whose attention peaked inside their box.
        total: nouns whose word was kept.
        skipped: nouns whose word was cut off: they lie beyond the T words of their text.
        accuracy: hits / total.
        chance: mean area of the mentioned boxes.
        groups: `big` and `small`, boxes of the median area of the mentioned ones or more, or less; `near_border`,
            `between` and `central`, thirds by how far the box's middle is from the nearest border. A box on the edge of
            two groups is in both.
    """

    hits: int
    total: int
    skipped: int
    accuracy: float
    chance: float
    groups: dict[str, Share]


class PointingGame:
    """Counts hits over texts that come in chunks.

    Example: two regions centred on (.25, .5) and (.75, .5), the text "a star" whose "star" names the box
    (.5, 0, 1, 1). Attention (.2, .8) of "star" peaks at x = .75, inside: one hit of one, by chance .5.

    Args:
        region_centres: (R, 2), x and y of each region's centre in [0, 1] of width and height.
    """

    def __init__(self, region_centres: np.ndarray) -> None:
        self.region_centres = np.asarray(region_centres)
        self._hits: list[bool] = []
        self._boxes: list[np.ndarray] = []
        self._skipped = 0

    def update(
        self,
        attention: np.ndarray,
        word_offsets: np.ndarray,
        mentions: Sequence[Sequence[Mention]],
        boxes: Sequence[np.ndarray],
    ) -> None:
        """Play a chunk of N texts, each with its own image.

        Where several words make up a noun (characters, in scripts without spaces), their mean attention counts.

        Args:
            attention: (N, T, R), of each word over the regions of its text's image.
            word_offsets: (N, T, 2), bytes [start, end) of each word in its text; equal for padding.
            mentions: of each text, its own nouns; `Mention.text` is not read.
            boxes: of each text, the objects of its image, (O, 4): left, top, right, bottom in [0, 1].

        Raises:
            RunError: attention that is not finite, or over other regions than the game's.
        """
        if attention.shape[-1] != len(self.region_centres):
            raise RunError(
                f"The attention covers {attention.shape[-1]} regions, but there are {len(self.region_centres)} region "
                "centres. Take both from one image encoder."
            )
        if not np.isfinite(attention).all():
            raise RunError("The attention holds NaN or infinity: the run has diverged. Train it anew.")
        for row, offsets, nouns, objects in zip(attention, word_offsets, mentions, boxes, strict=True):
            for mention in nouns:
                words = (offsets[:, 0] < mention.end) & (offsets[:, 1] > mention.start)
                if words.any():
                    self._play(row[words].mean(0), objects[mention.box])
                else:
                    self._skipped += 1

    def result(self) -> PointingResult:
        """Return the outcome so far.

        Raises:
            DataError: no mention was played.
        """
        if not self._hits:
            raise DataError(
                f"The pointing game has no noun to follow: {self._skipped} of its nouns lie beyond the words that are "
                "kept of a text (text.max_words)."
                if self._skipped
                else NO_MENTIONS
            )
        hits, boxes = np.array(self._hits), np.array(self._boxes)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        groups = _by_size(areas) | _by_distance(boxes)
        return PointingResult(
            hits=int(hits.sum()),
            total=len(hits),
            skipped=self._skipped,
            accuracy=float(hits.mean()),
            chance=float(areas.mean()),
            groups={
                name: Share(int(of.sum()), float(hits[of].mean()), float(areas[of].mean()))
                for name, of in groups.items()
            },
        )

    def to_json(self) -> dict[str, Any]:
        """Return `result` as `dafsn evaluate --attention` writes it.

        `pointing_game` is the accuracy, beside `chance`; each group's accuracy stands under its name, its chance in
        `chance_of`; `nouns` were played and `skipped` were not.

        Raises:
            DataError: as `result`.
        """
        result = self.result()
        return {
            "pointing_game": result.accuracy,
            "chance": result.chance,
            **{name: share.accuracy for name, share in result.groups.items()},
            "chance_of": {name: share.chance for name, share in result.groups.items()},
            "nouns": result.total,
            "skipped": result.skipped,
        }

    def _play(self, attention: np.ndarray, box: np.ndarray) -> None:
        x, y = self.region_centres[attention.argmax()]
        left, top, right, bottom = (float(edge) for edge in box)
        self._hits.append(bool(left <= x <= right and top <= y <= bottom))
        self._boxes.append(np.array([left, top, right, bottom]))


def _by_size(areas: np.ndarray) -> dict[str, np.ndarray]:
    """Return which boxes, (M,) bool, are big and which small."""
    median = np.median(areas)
    return {"big": areas >= median, "small": areas <= median}


def _by_distance(boxes: np.ndarray) -> dict[str, np.ndarray]:
    """Return which boxes, (M,) bool, are in each third by the distance of their middle from the nearest border."""
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    distances = np.minimum(middles, 1 - middles).min(axis=1)
    near, far = np.quantile(distances, [1 / 3, 2 / 3])
    return {
        "near_border": distances <= near,
        "between": (distances >= near) & (distances <= far),
        "central": distances >= far,
    }
