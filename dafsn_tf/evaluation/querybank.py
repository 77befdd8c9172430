"""The bank that cosines are held against, and how strongly: training texts and images, strength by validation."""

import warnings
from typing import Any

import numpy as np

from dafsn_tf.data.pipeline import ImageInputs
from dafsn_tf.data.records import RecordSplit
from dafsn_tf.evaluation.embedding import BATCH, Embedder
from dafsn_tf.evaluation.evaluate import Validation, fit_scores, fused_scores
from dafsn_tf.evaluation.fusion import TOLERANCE, FusionMetric, fusion_value, tells_pairs_apart
from dafsn_tf.evaluation.protocols import Collection
from dafsn_tf.layers.querybank import NEVER, QuerybankNormalization
from dafsn_tf.progress import Write

SHARPNESS = (10.0, 20.0)
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of nearness, in the fused score's deviations by the cosine's
_MOST_IMAGES = 3000  # of the training split that the bank is made of; of a larger one, evenly spaced ones
_LARGEST_STRENGTH = 4.0  # beside a cosine: an index takes its candidates by what is left of it
_MARGIN = 1.25  # of the bound, over the greatest nearness of the training split
_LEAST_BOUND = 1e-3
_SEED = 0  # of the clusters

Sides = tuple[np.ndarray, np.ndarray]  # features of texts and of images


def fit_querybank(
    validation: Validation,
    train: RecordSplit,
    inputs: ImageInputs,
    write: Write,
) -> None:
    """Fit a model's `QuerybankNormalization` to the training split, and choose its strength on the validation split.

    Centres are those of k-means over the training images and the first text of each. Of the sharpnesses the one is
    kept, with the best of the weights, that validation likes best by `evaluation.fusion_metric`; of its weights the
    nearest to .5 that costs no more than .0025 of that.

    Args:
        validation: that choices are made by, with the embedder of the model, complete but for this; it is changed.
        train: the training split, of which at most 3000 images are read.
        inputs: its frozen features or decoded images.
        write: receives what was chosen, in a line.
    """
    embedder, config = validation.embedder, validation.config
    bank = embedder.model.querybank
    bank.strength.assign(0.0)
    training = _training_features(embedder, train, inputs, bank.dim)
    learned, scores = validation.scored()
    fusion = fit_scores(embedder, learned, scores, config)
    base = fused_scores(embedder, learned, scores, fusion)
    per_cosine = fusion.factors()["sentence"] / fusion.sentence_deviation  # of the fused score
    if not (per_cosine and tells_pairs_apart(scores["sentence"]) and tells_pairs_apart(base)):
        write("a querybank has no say: sentences have none, or score all pairs alike on validation")
        return
    unit = float(base.std() / scores["sentence"].std())
    shown = learned.sentences[:, : bank.dim], learned.images[:, : bank.dim]
    fit_bank(bank, training, shown, base, learned.collection, config.fusion_metric, write, unit, per_cosine)


def fit_bank(
    bank: QuerybankNormalization,
    training: Sides,
    shown: Sides,
    base: np.ndarray,
    collection: Collection,
    metric: FusionMetric,
    write: Write,
    unit: float = 1.0,
    per_cosine: float = 1.0,
) -> None:
    """Fit a bank to features of any method that scores by cosines, and choose its strength; see `fit_querybank`.

    Args:
        bank: it is changed.
        training: features (n, F) of training texts and of training images.
        shown: features of the validation split's texts (N, F) and images (B, F).
        base: scores (N, B) of these without a bank.
        collection: the validation split.
        metric: as `EvaluationConfig.fusion_metric`.
        write: receives what was chosen, in a line.
        unit: what nearness counts in these scores at weight 1.
        per_cosine: how much the cosine counts in them.
    """
    for name, rows in zip(("text", "image"), training, strict=True):
        centres, shares = _clusters(rows, bank.centres)
        getattr(bank, f"{name}_centres").assign(centres)
        getattr(bank, f"{name}_shares").assign(shares)
    weights = [weight for weight in WEIGHTS if weight * unit / per_cosine <= _LARGEST_STRENGTH]
    values: dict[tuple[float, float], float] = {}
    for sharpness in SHARPNESS:
        _centre(bank, sharpness, training)
        nearness = unit * _nearness(bank, shown)
        for weight in weights:
            values[sharpness, weight] = fusion_value(base - weight * nearness, collection, metric)
    sharpness, _ = max(values, key=lambda each: values[each])
    enough = max(values.values()) - TOLERANCE
    good = [weight for weight in weights if values[sharpness, weight] >= enough]
    weight = min(good, key=lambda each: abs(each - 0.5))
    _centre(bank, sharpness, training)
    bank.strength.assign(weight * unit / per_cosine)
    write(
        f"cosines are held against a bank of {len(training[1])} training images and texts: weight {weight:g}, "
        f"sharpness {sharpness:g}, {metric} {values[sharpness, 0.0]:.3f} without, {values[sharpness, weight]:.3f} with "
        "it on validation"
    )


def _training_features(embedder: Embedder, train: RecordSplit, inputs: ImageInputs, width: int) -> Sides:
    """Return the features (n, F) of the first texts of training images and of these, without a bank's columns."""
    seen = np.linspace(0, len(train) - 1, min(len(train), _MOST_IMAGES)).astype(int)
    parts = [
        embedder.embed_split(train.at(rows), inputs if inputs is None else inputs.at(rows), 1, words=False)
        for rows in np.array_split(seen, -(-len(seen) // BATCH))  # regions, which are not needed, take the most memory
    ]
    texts, images = (
        np.concatenate([getattr(part, name)[:, :width] for part in parts]) for name in ("sentences", "images")
    )
    return texts, images


def _centre(bank: Any, sharpness: float, training: Sides) -> None:
    """Set a bank's sharpness, and the means and bound of nearness that follow for training features (n, F)."""
    texts, images = training
    bank.sharpness.assign(sharpness)
    bank.text_mean.assign(0.0)
    bank.image_mean.assign(0.0)
    near = bank.text_nearness(texts).numpy(), bank.image_nearness(images).numpy()
    bank.text_mean.assign(near[0].mean())
    bank.image_mean.assign(near[1].mean())
    greatest = max(float(np.abs(side - side.mean()).max()) for side in near)
    bank.bound.assign(max(_MARGIN * greatest, _LEAST_BOUND))


def _nearness(bank: Any, shown: Sides) -> np.ndarray:
    """Return what is taken from all pairs (N, B) at strength 1."""
    texts, images = shown
    limit = float(bank.bound.numpy())
    text, image = (
        np.clip(side.numpy(), -limit, limit) for side in (bank.text_nearness(texts), bank.image_nearness(images))
    )
    return text[:, None] + image[None]


def _clusters(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return centres (count, F) of rows (n, F) and the logarithms of their shares (count,); zeros where n is less."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    few = min(count, len(rows))
    options: Any = {"n_init": 1, "random_state": _SEED}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # rows that are the same make fewer clusters
        found: Any = KMeans(few, **options).fit(rows.astype(np.float64))
    sizes = np.bincount(found.labels_, minlength=few)
    centres, shares = np.zeros((count, rows.shape[1]), np.float32), np.full(count, NEVER, np.float32)
    centres[:few] = found.cluster_centers_
    shares[:few] = np.where(sizes > 0, np.log(np.maximum(sizes, 1) / len(rows)), NEVER)
    return centres, shares
