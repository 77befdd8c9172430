"""Fusion: sentence, word and label scores, standardised and mixed by weights that validation chose.

The label score, where a collection has classes, is the agreement of the classifier's posteriors of both sides
(`scoring.label_scores`): where class is what is asked for, it ranks better than any distance in the aligned space.
How sharp the posteriors are first made is chosen on validation too: dropout and weight decay leave them flat.
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import cache
from typing import Literal

import numpy as np

from dafsn_tf.errors import RunError
from dafsn_tf.evaluation.metrics import RECALL_CUTS
from dafsn_tf.evaluation.protocols import DIRECTIONS, Collection, selection_metrics

FusionMetric = Literal["map", "recall", "balanced"]

SHARPNESS = (1.0, 2.0)  # powers of the class posteriors that are tried
TOLERANCE = 0.0025  # of a metric in [0, 1]: what is nearer to the best than that, validation cannot tell from it
_STEPS = 20  # weights tried: 0, 1/20, ..., 1
_LEAST_DEVIATION = 1e-6  # of the mean: what is smaller is rounding, and the score says nothing


@dataclass(frozen=True)
class Fusion:
    """How `fused` is made from `sentence`, `word` and, where there is a classifier, `label` scores.

    Raises:
        RunError: a value that is not finite, a deviation or sharpness that is not positive, a weight outside [0, 1].
    """

    sentence_mean: float  # over all pairs of the validation split
    sentence_deviation: float  # positive
    word_mean: float
    word_deviation: float  # positive
    weight: float  # share of the word score beside the sentence score, [0, 1]
    label_mean: float = 0.0
    label_deviation: float = 1.0  # positive
    label_weight: float = 0.0  # share of the label score in the whole, [0, 1]
    label_sharpness: float = 1.0  # power of the posteriors that the label score compares; positive

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise RunError(f"fusion: {name} is {value!r}; it must be a finite number.")
            if name.endswith(("deviation", "sharpness")) and value <= 0:
                raise RunError(f"fusion: {name} is {value}; it must be positive.")
        for name in ("weight", "label_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise RunError(f"fusion: {name} is {getattr(self, name)}; it must be in [0, 1].")

    def factors(self) -> dict[str, float]:
        """Return what each standardised score is multiplied by: sentence, word and label; they sum to 1."""
        rest = 1 - self.label_weight
        return {"sentence": rest * (1 - self.weight), "word": rest * self.weight, "label": self.label_weight}

    def apply(self, sentence: np.ndarray, word: np.ndarray, label: np.ndarray | None = None) -> np.ndarray:
        """Return the fused scores, float32 of the shape of all; without label scores those count nothing."""
        fused = np.zeros(sentence.shape, np.float32)
        for (name, factor), scores in zip(self.factors().items(), (sentence, word, label), strict=True):
            if scores is not None and factor:
                mean, deviation = getattr(self, f"{name}_mean"), getattr(self, f"{name}_deviation")
                fused += (np.asarray(scores, np.float32) - np.float32(mean)) * np.float32(factor / deviation)
        return fused

    def to_dict(self) -> dict[str, float]:
        """Return the numbers by name, fit for JSON and for `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, float]) -> "Fusion":
        """Return the fusion that `to_dict` described.

        Raises:
            RunError: a number that is missing, unknown or out of range.
        """
        names = [field.name for field in fields(cls)]
        needed = {field.name for field in fields(cls) if field.default is MISSING}
        if not needed <= set(values) <= set(names):
            raise RunError(f"fusion holds {', '.join(sorted(values)) or 'nothing'}; expected {', '.join(names)}.")
        return cls(**values)


def fit_fusion(
    sentence: np.ndarray,
    word: np.ndarray,
    collection: Collection,
    metric: FusionMetric = "balanced",
    labels: Mapping[float, np.ndarray] | None = None,
    weight: float | None = None,
) -> Fusion:
    """Return the fusion of validation scores whose weights are best by `metric`, averaged over both directions.

    Weights 0, .05, ..., 1 are tried under the protocol of `selection_metrics`: first the word score's, then the label
    score's beside it with each sharpness, then the word score's again. Then the label's and the word's weight go as
    near to .5 as costs no more than .0025 in all, as CART's rule of one standard error prefers the plainest of what is
    about as good (Breiman et al., 1984): extreme weights are often lucky ones. Of equals the nearest to .5 stays, and
    the first sharpness. A score that is the same for every pair counts nothing.

    Args:
        sentence: (N, B) scores of the validation split.
        word: (N, B) scores of the same texts and images.
        collection: what is relevant there.
        metric: "map" is MAP@all, "recall" the mean of recall@1, 5 and 10, "balanced" the mean of these two.
        labels: (N, B) label scores of the same by their sharpness, where the model has a classifier.
        weight: the word score's, where it is not to be chosen: 0 where a model learned no words, 1 where nothing else.

    Raises:
        RunError: scores that are not finite, differ in shape or do not fit the collection.
    """
    if sentence.shape != word.shape:
        raise RunError(f"sentence scores have the shape {sentence.shape}, word scores {word.shape}; they must agree.")

    @cache
    def value(fusion: Fusion) -> float:
        label = labels[fusion.label_sharpness] if labels and fusion.label_weight else None
        return fusion_value(fusion.apply(sentence, word, label), collection, metric)

    def weighted(name: str, fusion: Fusion) -> list[Fusion]:
        """Return the fusion with each weight, from the middle outwards: the first of equals is the nearest to .5."""
        weights = sorted((step / _STEPS for step in range(_STEPS + 1)), key=lambda weight: abs(weight - 0.5))
        return [replace(fusion, **{name: weight}) for weight in weights]

    best = Fusion(*_moments("sentence", sentence), *_moments("word", word), weight=0.5 if weight is None else weight)
    free = ["weight"] if weight is None else []
    for name in free:
        best = max(weighted(name, best), key=value)
    if labels:
        moments = {sharpness: _moments("label", scores) for sharpness, scores in labels.items()}
        sharpened = [
            replace(best, label_mean=mean, label_deviation=deviation, label_sharpness=sharpness)
            for sharpness, (mean, deviation) in moments.items()
        ]
        best = max((each for fusion in sharpened for each in weighted("label_weight", fusion)), key=value)
        for name in free if best.label_weight < 1 else ():
            best = max(weighted(name, best), key=value)
    enough = value(best) - TOLERANCE
    for name in (*(["label_weight"] if labels else ()), *free):
        best = next(fusion for fusion in weighted(name, best) if value(fusion) >= enough)
    return best


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


def tells_pairs_apart(scores: np.ndarray) -> bool:
    """Whether scores (N, B) differ by more than rounding errors."""
    return float(scores.std()) > _LEAST_DEVIATION * max(abs(float(scores.mean())), _LEAST_DEVIATION)


def fusion_value(scores: np.ndarray, collection: Collection, metric: FusionMetric) -> float:
    """Return what scores (N, B) are worth by `metric`, averaged over both directions; see `fit_fusion`."""
    metrics = selection_metrics(scores, collection)
    precision = sum(metrics[direction]["map@all"] for direction in DIRECTIONS) / len(DIRECTIONS)
    recalls = [metrics[direction][f"recall@{cut}"] for direction in DIRECTIONS for cut in RECALL_CUTS]
    recall = sum(recalls) / len(recalls)
    return {"map": precision, "recall": recall, "balanced": (precision + recall) / 2}[metric]
