"""How strong the ridge of canonical directions is, and what share they have beside what was learned: by validation."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from dafsn_tf.data.features import FrozenFeatures
from dafsn_tf.data.pipeline import ImageInputs
from dafsn_tf.data.records import RecordSplit
from dafsn_tf.evaluation.embedding import BATCH, Embedder, word_ids_of
from dafsn_tf.evaluation.evaluate import Validation, fit_scores, fused_scores
from dafsn_tf.evaluation.fusion import TOLERANCE, fusion_value, tells_pairs_apart
from dafsn_tf.evaluation.scoring import sentence_scores
from dafsn_tf.models.canonical_branch import CanonicalFit
from dafsn_tf.progress import Write

RIDGES = (0.1, 0.3, 1.0)
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # of the standardised canonical score beside the fused one
_LARGEST_SHARE = 0.95
_LEAST_DEVIATION = 1e-6  # of a score that a share is reckoned from: no division by zero
_MOST_IMAGES = 50_000  # that are fitted to; of a larger split, evenly spaced ones
_MOST_TEXTS = 100_000  # of these; of more, the first of each image


def fit_canonical(
    validation: Validation,
    train: RecordSplit,
    inputs: ImageInputs,
    vectors: np.ndarray,
    write: Write,
    brought: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Fit a model's canonical directions on the training split, and choose ridge and share on the validation split.

    Of the directions of each ridge, and of half of these beside half of those that were brought, the ones are kept that
    alone rank best by `evaluation.fusion_metric`; of the weights beside the fused score of what was learned the nearest
    to .5 that costs no more than .0025 of that.

    Args:
        validation: that choices are made by, with the embedder of the model, which is changed; its tokeniser knows all
            words that the model does.
        train: the training split, of which at most 50,000 images and about 100,000 texts are fitted to.
        inputs: its frozen features, all variants.
        vectors: (ids, d) word vectors by id, zero where there is none.
        write: receives how each ridge does and what was chosen, a line each.
        brought: directions of the heads that training began with (`models.transfer.brought_directions`).
    """
    embedder, config = validation.embedder, validation.config
    model = embedder.model
    canonical = model.canonical
    canonical.share.assign(0.0)  # what was learned is scored by itself
    images = len(train)
    fitted = np.linspace(0, images - 1, min(images, _MOST_IMAGES)).astype(int)
    texts = _fitted_texts([train.texts[image] for image in fitted])
    write(f"fitting canonical directions of {len(texts)} images and {sum(map(len, texts))} texts")
    fit = CanonicalFit(
        _word_ids(embedder, texts),
        np.repeat(np.arange(len(texts)), [len(each) for each in texts]),
        _vectors(model, inputs, fitted),
        vectors,
        1 + model.config.text.oov_buckets,
    )
    learned, scores = validation.scored()  # the directions have no share yet
    collection = learned.collection
    base = fused_scores(embedder, learned, scores, fusion := fit_scores(embedder, learned, scores, config))
    word_ids = _word_ids(embedder, validation.records.texts)
    image_vectors = _vectors(model, validation.inputs, np.arange(len(validation.records)))[:, 0]

    sides = (canonical.texts, word_ids), (canonical.images, image_vectors)
    best, name, projected, chosen = -np.inf, "", np.empty(0), {}
    for each, weights in _candidates(fit, canonical.dim, brought):
        _assign(canonical, weights)
        cosines = sentence_scores(*(np.concatenate([side(part).numpy() for part in _batches(x)]) for side, x in sides))
        value = fusion_value(cosines, collection, config.fusion_metric)
        write(f"canonical directions of {each}: {config.fusion_metric} {value:.3f} by themselves on validation")
        if value > best:
            best, name, projected, chosen = value, each, cosines, weights
    _assign(canonical, chosen)

    if not (tells_pairs_apart(base) and tells_pairs_apart(projected)):
        write("canonical directions have no say: on validation they, or what was learned, score all pairs alike")
        return
    mixed = {weight: (1 - weight) * _standard(base) + weight * _standard(projected) for weight in WEIGHTS}
    values = {weight: fusion_value(each, collection, config.fusion_metric) for weight, each in mixed.items()}
    enough = max(values.values()) - TOLERANCE
    weight = min((each for each, value in values.items() if value >= enough), key=lambda each: abs(each - 0.5))
    canonical.share.assign(_share(weight, fusion.factors()["sentence"] / base.std(), scores["sentence"], projected))
    write(
        f"canonical directions ({name}): weight {weight:g} beside what was learned, "
        f"{config.fusion_metric} {values[0.0]:.3f} without, {values[weight]:.3f} with them on validation"
    )


def _candidates(
    fit: CanonicalFit, dim: int, brought: Mapping[str, np.ndarray] | None
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield the directions that validation chooses from, each with what is to be said of it."""
    own = {}
    for ridge in RIDGES:
        own[ridge] = fit.weights(ridge, dim)
        yield f"ridge {ridge:g}", own[ridge]
    if brought is not None:
        for ridge, weights in own.items():
            beside = f"ridge {ridge:g}, beside those of the heads that training began with"
            yield beside, fit.side_by_side(weights, brought)


def _share(weight: float, sentence_factor: float, sentence: np.ndarray, projected: np.ndarray) -> float:
    """Return the share that gives the canonical cosine the weight it was chosen with, beside the sentence's cosine.

    Args:
        weight: of the standardised canonical score beside the standardised fused one.
        sentence_factor: of the standardised sentence score in the latter.
        sentence: (N, B) cosines of what was learned.
        projected: (N, B) canonical cosines.
    """
    ours = weight / float(projected.std())
    theirs = (1 - weight) * sentence_factor / max(float(sentence.std()), _LEAST_DEVIATION)
    return min(ours / (ours + theirs), _LARGEST_SHARE) if ours else 0.0  # sentences may have no say either


def _assign(canonical: Any, weights: dict[str, np.ndarray]) -> None:
    for name, values in weights.items():
        getattr(canonical, name).assign(values)


def _standard(scores: np.ndarray) -> np.ndarray:
    return (scores - scores.mean()) / scores.std()


def _fitted_texts(texts: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the texts of each image that are fitted to."""
    most = max(_MOST_TEXTS // len(texts), 1) if sum(map(len, texts)) > _MOST_TEXTS else None
    return [each[:most] for each in texts]


def _word_ids(embedder: Embedder, texts_of_images: Sequence[Sequence[str]]) -> np.ndarray:
    texts = [text for texts in texts_of_images for text in texts]
    return word_ids_of(embedder.text_preprocessor, tf.constant(texts)).numpy()


def _vectors(model: Any, inputs: ImageInputs, images: np.ndarray) -> np.ndarray:
    """Return the standardised global vectors (n, V, C') of all variants of the images at `images` (n,)."""
    assert isinstance(inputs, FrozenFeatures)
    standardizer = model.image_encoder.global_standardizer
    batches = (inputs.whole[images[start : start + BATCH]] for start in range(0, len(images), BATCH))
    return np.concatenate([standardizer(tf.cast(rows, tf.float32)).numpy() for rows in batches])


def _batches(rows: np.ndarray) -> Iterator[tf.Tensor]:
    return (tf.constant(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH))
