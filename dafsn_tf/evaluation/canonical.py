"""How strong the ridge of canonical directions is, and what share they have beside what was learned: by validation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from dafsn_tf.config import EvaluationConfig
from dafsn_tf.data.features import FrozenFeatures
from dafsn_tf.data.pipeline import ImageInputs
from dafsn_tf.data.records import RecordSplit
from dafsn_tf.evaluation.embedding import BATCH, Embedder, selection_sample
from dafsn_tf.evaluation.evaluate import all_pairs_scores, fit_scores, fused_scores
from dafsn_tf.evaluation.fusion import TOLERANCE, fusion_value
from dafsn_tf.evaluation.scoring import sentence_scores
from dafsn_tf.models.canonical_branch import CanonicalFit
from dafsn_tf.progress import Write

RIDGES = (0.1, 0.3, 1.0)
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # of the standardised canonical score beside the fused one
_LARGEST_SHARE = 0.95


@dataclass(frozen=True)
class Split:
    """What is read of a split: its records, and the frozen features of its images."""

    records: RecordSplit
    inputs: ImageInputs


def fit_canonical(
    embedder: Embedder, train: Split, validation: Split, vectors: np.ndarray, config: EvaluationConfig, write: Write
) -> None:
    """Fit a model's canonical directions on the training split, and choose ridge and share on the validation split.

    The ridge is the one whose directions alone rank best by `evaluation.fusion_metric`; of the weights beside the fused
    score of what was learned the nearest to .5 that costs no more than .0025 of that.

    Args:
        embedder: of the model, which is changed; its tokeniser knows all words that the model does.
        train: all its texts and variants of images are read.
        validation: its images that choices are made by, with all their texts.
        vectors: (ids, d) word vectors by id, zero where there is none.
        config: of the choices.
        write: receives what was chosen, in a line.
    """
    model = embedder.model
    canonical = model.canonical
    fit = CanonicalFit(
        _word_ids(embedder, train.records),
        np.repeat(np.arange(len(train.records)), [len(texts) for texts in train.records.texts]),
        _vectors(model, train.inputs),
        vectors,
        1 + model.config.text.oov_buckets,
    )
    records, inputs = selection_sample(validation.records, validation.inputs, config)
    learned = embedder.embed_split(records, inputs)
    collection = learned.collection
    scores = all_pairs_scores(embedder, learned)  # the directions have no share yet
    base = fused_scores(embedder, learned, scores, fusion := fit_scores(embedder, learned, scores, config))
    word_ids, image_vectors = _word_ids(embedder, records), _vectors(model, inputs)[:, 0]

    tried = []
    for ridge in RIDGES:
        weights = fit.weights(ridge, canonical.dim)
        _assign(canonical, weights)
        texts = np.concatenate([canonical.texts(rows).numpy() for rows in _batches(word_ids)])
        images = np.concatenate([canonical.images(rows).numpy() for rows in _batches(image_vectors)])
        projected = sentence_scores(texts, images)
        tried.append((fusion_value(projected, collection, config.fusion_metric), ridge, weights, projected))
    _, ridge, weights, projected = max(tried, key=lambda each: each[0])
    _assign(canonical, weights)

    mixed = {weight: (1 - weight) * _standard(base) + weight * _standard(projected) for weight in WEIGHTS}
    values = {weight: fusion_value(each, collection, config.fusion_metric) for weight, each in mixed.items()}
    enough = max(values.values()) - TOLERANCE
    weight = min((each for each, value in values.items() if value >= enough), key=lambda each: abs(each - 0.5))
    share = _share(weight, fusion.factors()["sentence"] / float(base.std()), scores["sentence"], projected)
    canonical.share.assign(share)
    write(
        f"canonical directions (ridge {ridge:g}): weight {weight:g} beside what was learned, "
        f"{config.fusion_metric} {values[0.0]:.3f} without, {values[weight]:.3f} with them on validation"
    )


def _share(weight: float, sentence_factor: float, sentence: np.ndarray, projected: np.ndarray) -> float:
    """Return the share that gives the canonical cosine the weight it was chosen with, beside the sentence's cosine.

    Args:
        weight: of the standardised canonical score beside the standardised fused one.
        sentence_factor: of the standardised sentence score in the latter.
        sentence: (N, B) cosines of what was learned.
        projected: (N, B) canonical cosines.
    """
    ours = weight / max(float(projected.std()), 1e-12)
    theirs = (1 - weight) * sentence_factor / max(float(sentence.std()), 1e-12)
    return min(ours / (ours + theirs), _LARGEST_SHARE) if weight else 0.0


def _assign(canonical: Any, weights: dict[str, np.ndarray]) -> None:
    for name, values in weights.items():
        getattr(canonical, name).assign(values)


def _standard(scores: np.ndarray) -> np.ndarray:
    return (scores - scores.mean()) / max(float(scores.std()), 1e-12)


def _word_ids(embedder: Embedder, records: RecordSplit) -> np.ndarray:
    texts = [text for texts in records.texts for text in texts]
    parts = [embedder.text_preprocessor(tf.constant(texts[i : i + BATCH])) for i in range(0, len(texts), BATCH)]
    return np.concatenate([part["word_ids"].numpy() for part in parts])


def _vectors(model: Any, inputs: ImageInputs) -> np.ndarray:
    """Return the standardised global vectors (B, V, C') of all variants of a split's images."""
    assert isinstance(inputs, FrozenFeatures)
    standardizer = model.image_encoder.global_standardizer
    return np.concatenate([standardizer(tf.cast(rows, tf.float32)).numpy() for rows in _batches(inputs.whole)])


def _batches(rows: np.ndarray) -> list[Any]:
    return [tf.constant(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]
