"""Fusion: sentence and word scores standardised and mixed by one weight, both chosen on validation."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal

import numpy as np

from dafsn_tf.errors import RunError
from dafsn_tf.evaluation.metrics import RECALL_CUTS
from dafsn_tf.evaluation.protocols import DIRECTIONS, Collection, Directions, selection_metrics

FusionMetric = Literal["map", "recall", "balanced"]

_STEPS = 20  # weights tried: 0, 1/20, ..., 1
_LEAST_DEVIATION = 1e-6  # of the mean: what is smaller is rounding, and the score says nothing


@dataclass(frozen=True)
class Fusion:
    """How `fused` is made from `sentence` and `word` scores.

    Raises:
        RunError: a value that is not finite, a deviation that is not positive, a weight outside [0, 1].
    """

    sentence_mean: float  # over all pairs of the validation split
    sentence_deviation: float  # positive
    word_mean: float
    word_deviation: float  # positive
    weight: float  # share of the word score, [0, 1]

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise RunError(f"fusion: {name} is {value!r}; it must be a finite number.")
            if name.endswith("deviation") and value <= 0:
                raise RunError(f"fusion: {name} is {value}; it must be positive.")
        if not 0 <= self.weight <= 1:
            raise RunError(f"fusion: weight is {self.weight}; it must be in [0, 1].")

    def apply(self, sentence: np.ndarray, word: np.ndarray) -> np.ndarray:
        """Return the fused scores, float32 of the shape of both: (1 - weight) sentence + weight word, standardised."""
        fused = np.asarray(sentence, np.float32) - np.float32(self.sentence_mean)
        fused *= np.float32((1 - self.weight) / self.sentence_deviation)
        words = np.asarray(word, np.float32) - np.float32(self.word_mean)
        words *= np.float32(self.weight / self.word_deviation)
        fused += words
        return fused

    def to_dict(self) -> dict[str, float]:
        """Return the five numbers by name, fit for JSON and for `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, float]) -> "Fusion":
        """Return the fusion that `to_dict` described.

        Raises:
            RunError: a number that is missing, unknown or out of range.
        """
        names = [field.name for field in fields(cls)]
        if set(values) != set(names):
            raise RunError(f"fusion holds {', '.join(sorted(values)) or 'nothing'}; expected {', '.join(names)}.")
        return cls(**values)


def fit_fusion(
    sentence: np.ndarray, word: np.ndarray, collection: Collection, metric: FusionMetric = "balanced"
) -> Fusion:
    """Return the fusion of validation scores whose weight is best by `metric`, averaged over both directions.

    Weights 0, .05, ..., 1 are tried under the protocol of `selection_metrics`; of equals the one nearest .5 stays. A
    score that is the same for every pair counts nothing.

    Args:
        sentence: (N, B) scores of the validation split.
        word: (N, B) scores of the same texts and images.
        collection: what is relevant there.
        metric: "map" is MAP@all, "recall" the mean of recall@1, 5 and 10, "balanced" the mean of these two.

    Raises:
        RunError: scores that are not finite, differ in shape or do not fit the collection.
    """
    if sentence.shape != word.shape:
        raise RunError(f"sentence scores have the shape {sentence.shape}, word scores {word.shape}; they must agree.")
    standard = (*_moments("sentence", sentence), *_moments("word", word))
    candidates = [Fusion(*standard, weight=step / _STEPS) for step in range(_STEPS + 1)]
    # From the middle outwards: the first of equals is the nearest to one half.
    candidates.sort(key=lambda fusion: abs(fusion.weight - 0.5))
    return max(
        candidates, key=lambda fusion: _value(selection_metrics(fusion.apply(sentence, word), collection), metric)
    )


def _moments(name: str, scores: np.ndarray) -> tuple[float, float]:
    """Return mean and deviation in float64, row by row: a float64 copy of all pairs could be too large."""
    if not all(np.isfinite(row).all() for row in scores):
        raise RunError(
            f"{name} scores are not all finite numbers. Check that training did not diverge (a loss of NaN)."
        )
    mean = float(np.mean(scores, dtype=np.float64))
    squares = sum(float(np.square(row - np.float64(mean), dtype=np.float64).sum()) for row in scores)
    deviation = math.sqrt(squares / scores.size)
    return mean, deviation if deviation > _LEAST_DEVIATION * abs(mean) else 1.0


def _value(metrics: Directions, metric: FusionMetric) -> float:
    precision = sum(metrics[direction]["map@all"] for direction in DIRECTIONS) / len(DIRECTIONS)
    recalls = [metrics[direction][f"recall@{cut}"] for direction in DIRECTIONS for cut in RECALL_CUTS]
    recall = sum(recalls) / len(recalls)
    return {"map": precision, "recall": recall, "balanced": (precision + recall) / 2}[metric]
