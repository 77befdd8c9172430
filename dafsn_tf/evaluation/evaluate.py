"""From a run and a collection to the figures of DESIGN section 5."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dafsn_tf.config import EvaluationConfig
from dafsn_tf.data.features import FrozenFeatures
from dafsn_tf.data.pipeline import ImageInputs
from dafsn_tf.data.records import RecordSplit, open_split
from dafsn_tf.evaluation.embedding import Embedder, Embeddings, selection_sample
from dafsn_tf.evaluation.fusion import SHARPNESS, Fusion, fit_fusion
from dafsn_tf.evaluation.modality_gap import modality_gap
from dafsn_tf.evaluation.protocols import evaluate_scores, selection_metrics, selection_value
from dafsn_tf.evaluation.scoring import label_scores, sentence_scores, word_scores
from dafsn_tf.progress import Progress, Write, progress_lines
from dafsn_tf.runs import Run, overlap_warning, split_features


def all_pairs_scores(
    embedder: Embedder, embeddings: Embeddings, progress: Progress | None = None
) -> dict[str, np.ndarray]:
    """Return the `sentence` and `word` scores (N, B) of all pairs."""
    words, mask, regions = embeddings.words, embeddings.word_mask, embeddings.regions
    return {
        "sentence": sentence_scores(embeddings.sentences, embeddings.images),
        "word": word_scores(embedder.relevance, words, mask, regions, progress=progress),
    }


def fused_scores(
    embedder: Embedder, embeddings: Embeddings, scores: dict[str, np.ndarray], fusion: Fusion
) -> np.ndarray:
    """Return the fused scores (N, B) of `all_pairs_scores` and, where `fusion` weighs it, the label score."""
    sharpness = (fusion.label_sharpness,) if fusion.label_weight else ()
    labels = _label_scores(embedder, embeddings, sharpness)
    return fusion.apply(scores["sentence"], scores["word"], labels.get(fusion.label_sharpness))


def _label_scores(embedder: Embedder, embeddings: Embeddings, sharpness: Sequence[float]) -> dict[float, np.ndarray]:
    """Return the label scores (N, B) of all pairs by their sharpness; none where the model has no classifier."""
    if embedder.model.classifier is None or not sharpness:
        return {}
    texts, images = (embedder.class_logits(features) for features in (embeddings.sentences, embeddings.images))
    return {power: label_scores(texts, images, power) for power in sharpness}


def fit_scores(
    embedder: Embedder, embeddings: Embeddings, scores: dict[str, np.ndarray], config: EvaluationConfig
) -> Fusion:
    """Return the fusion of the scores that the loss has taught; what it has not has no say, however it came out."""
    loss = embedder.model.config.loss
    weight = None if loss.learns_words and loss.learns_sentences else float(loss.learns_words)
    labels = _label_scores(embedder, embeddings, SHARPNESS)
    return fit_fusion(scores["sentence"], scores["word"], embeddings.collection, config.fusion_metric, labels, weight)


def split_scores(
    run: Run, records: RecordSplit, features: FrozenFeatures | None, write: Write | None = None
) -> tuple[Embeddings, dict[str, np.ndarray]]:
    """Return a split's embeddings and its `sentence`, `word` and `fused` scores (N, B) of all pairs.

    Args:
        run: of `load_run`.
        records: the split.
        features: of its frozen backbone, see `runs.split_features`.
        write: receives progress, a line at a time.
    """
    progress = progress_lines(f"scores of {records.split}", "pairs", write) if write else None
    embedder = Embedder(run.model, run.text_preprocessor)
    embeddings = embedder.embed_split(records, features)
    scores = all_pairs_scores(embedder, embeddings, progress)
    scores["fused"] = fused_scores(embedder, embeddings, scores, Fusion.from_dict(run.fusion))
    return embeddings, scores


def evaluate_run(
    run: Run,
    data: Path,
    split: str = "test",
    *,
    probe: bool = False,
    write: Write | None = None,
) -> dict[str, Any]:
    """Return the evaluation of a run on a split, in the form that `dafsn evaluate --json` writes.

    Args:
        run: of `load_run`.
        data: the prepared collection.
        split: that is measured.
        probe: whether the result has `modality_gap` too, see `evaluation.modality_gap`; takes seconds.
        write: receives progress, a line at a time.

    Raises:
        DataError, RunError, WeightsError: what the user can mend.
    """
    records = open_split(data, split)
    warning = overlap_warning(run.info, records.manifest)
    if warning and write:
        write(f"{run.path}: {warning}")
    embeddings, scores = split_scores(run, records, split_features(run, data, records, write), write)
    text_image = embeddings.collection.text_image
    learned = embeddings.learned(run.config.model.dim)
    gap = {"modality_gap": modality_gap(*learned, text_image)} if probe else {}
    return {
        "dataset": records.manifest.name,
        "collection": records.manifest.digest,
        "trained_on": run.info["collection"],  # the same digest where splits are those of training
        "split": split,
        "num_images": len(records),
        "num_texts": len(embeddings.sentences),
        "seed": run.info["seed"],
        **evaluate_scores(scores, embeddings.collection),
        **gap,
    }


def validate(
    embedder: Embedder,
    records: RecordSplit,
    inputs: ImageInputs,
    config: EvaluationConfig,
) -> dict[str, float]:
    """Return an epoch's validation metrics; `val_retrieval` is the one to choose by (DESIGN section 5).

    Args:
        embedder: of the model.
        records: the images that choices are made by (`selection_sample`), drawn once for all epochs.
        inputs: their frozen backbone features or decoded images, or None.
        config: says which score chooses, and by which texts.
    """
    embeddings = embedder.embed_split(records, inputs, config.selection_texts)
    if config.selection_score == "sentence":
        scores = {"sentence": sentence_scores(embeddings.sentences, embeddings.images)}
    else:
        scores = all_pairs_scores(embedder, embeddings)
    if config.selection_score == "fused":
        fusion = fit_scores(embedder, embeddings, scores, config)
        scores["fused"] = fused_scores(embedder, embeddings, scores, fusion)
    metrics = selection_metrics(scores[config.selection_score], embeddings.collection)
    return {
        "val_retrieval": selection_value(metrics, embeddings.collection.has_classes),
        **{f"val_{name}": _mean(metrics, name) for name in ("map@all", "recall@1", "recall@10")},
    }


class Validation:
    """The validation images that choices are made by, as a model scores them while it is being completed.

    What completes a model changes its sentence and image features alone, so that words are scored once.

    Args:
        embedder: of the model.
        records: the validation split.
        inputs: its frozen backbone features or decoded images, or None.
        config: says which images and texts are read, and by what choices are made.
        write: receives progress, a line at a time.
    """

    def __init__(
        self,
        embedder: Embedder,
        records: RecordSplit,
        inputs: ImageInputs,
        config: EvaluationConfig,
        write: Write | None = None,
    ) -> None:
        self.embedder, self.config = embedder, config
        records, self.inputs = selection_sample(records, inputs, config)
        most = config.selection_texts or None
        self.records = replace(records, texts=[texts[:most] for texts in records.texts])  # as they are read
        self._progress = progress_lines(f"scores of {records.split}", "pairs", write) if write else None
        self._word: np.ndarray | None = None

    def scored(self) -> tuple[Embeddings, dict[str, np.ndarray]]:
        """Return the embeddings, whose word features may be absent, and the `sentence` and `word` scores (N, B)."""
        word = self._word
        embeddings = self.embedder.embed_split(self.records, self.inputs, words=word is None)
        if word is None:
            scores = all_pairs_scores(self.embedder, embeddings, self._progress)
            self._word = scores["word"]
            return embeddings, scores
        return embeddings, {"sentence": sentence_scores(embeddings.sentences, embeddings.images), "word": word}


def choose_fusion(validation: Validation) -> tuple[Fusion, dict[str, Any], float]:
    """Return the fusion that suits a model, its validation metrics and the value they are compared by."""
    embedder = validation.embedder
    embeddings, scores = validation.scored()
    fusion = fit_scores(embedder, embeddings, scores, validation.config)
    scores["fused"] = fused_scores(embedder, embeddings, scores, fusion)
    value = selection_value(
        selection_metrics(scores["fused"], embeddings.collection), embeddings.collection.has_classes
    )
    return fusion, evaluate_scores(scores, embeddings.collection), value


def _mean(directions: dict[str, dict[str, float]], metric: str) -> float:
    return float(np.mean([values[metric] for values in directions.values()]))
