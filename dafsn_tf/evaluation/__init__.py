"""Evaluation: metrics of score matrices, all-pairs scoring, fusion and protocols (DESIGN section 5)."""

from dafsn_tf.evaluation.fusion import Fusion, fit_fusion
from dafsn_tf.evaluation.metrics import (
    average_precision,
    chance,
    first_relevant_rank,
    mean_average_precision,
    median_rank,
    recall_at_k,
    retrieval_metrics,
)
from dafsn_tf.evaluation.protocols import (
    Collection,
    evaluate_scores,
    selection_error,
    selection_metrics,
    selection_value,
    takes_the_place,
)
from dafsn_tf.evaluation.scoring import document_scores, label_scores, sentence_scores, word_scores

__all__ = [
    "Collection",
    "Fusion",
    "average_precision",
    "chance",
    "document_scores",
    "evaluate_scores",
    "first_relevant_rank",
    "fit_fusion",
    "label_scores",
    "mean_average_precision",
    "median_rank",
    "recall_at_k",
    "retrieval_metrics",
    "selection_error",
    "selection_metrics",
    "selection_value",
    "sentence_scores",
    "takes_the_place",
    "word_scores",
]
