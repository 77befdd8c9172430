"""What is relevant to what in a collection, and the metrics of its protocols (DESIGN section 5).

Protocol `sentence`: each sentence is a text of its own. Protocol `document`: a picture's texts form one document, which
scores with an image as the mean of its sentences.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dafsn_tf.errors import RunError
from dafsn_tf.evaluation.metrics import METRICS, RECALL_CUTS, retrieval_metrics
from dafsn_tf.evaluation.metrics import chance as chance_metrics
from dafsn_tf.evaluation.scoring import document_scores

DIRECTIONS = ("image_to_text", "text_to_image")

Directions = dict[str, dict[str, float]]  # direction -> metric -> value


@dataclass(frozen=True)
class Collection:
    """A split as far as relevance goes.

    A text and an image share a label when their pictures have at least one class in common. A picture without a class,
    in a collection that has classes, shares labels with nothing but its own texts. A class that every picture has tells
    none apart, and does not count.

    Attributes:
        text_image: (N,) index of each text's image.
        labels: (B, C) multi-hot classes of the images; None where the collection has no classes.
        documents: whether an image's texts form one document.
    """

    text_image: np.ndarray
    labels: np.ndarray | None = None
    documents: bool = False

    @property
    def has_classes(self) -> bool:
        """Whether classes tell any pictures apart; where they do not, MAP follows pair relevance."""
        return self.labels is not None and bool(telling_classes(self.labels).any())


def telling_classes(labels: np.ndarray) -> np.ndarray:
    """Return (C,) bool, the classes of multi-hot `labels` (B, C) that some of the pictures have and some have not."""
    holders = np.count_nonzero(np.asarray(labels) > 0, axis=0)
    return (holders > 0) & (holders < len(labels))


class Direction(NamedTuple):
    """The queries of one side and the gallery of the other that each of them ranks.

    Attributes:
        scores: (queries, gallery), larger is better.
        pairs: (queries, gallery) bool, the text describes the image; what recall and median rank follow.
        relevant: (queries, gallery) bool, they share a class; the pairs where there are no classes. What MAP follows.
        query_image: (queries,) image of each query, which is that image or a text of it.
        gallery_image: (gallery,) image of each item of the gallery.
    """

    scores: np.ndarray
    pairs: np.ndarray
    relevant: np.ndarray
    query_image: np.ndarray
    gallery_image: np.ndarray


class _Protocol(NamedTuple):
    """One protocol's texts: documents or sentences."""

    text_document: np.ndarray | None  # (N,) document of each sentence; None where sentences stand alone
    text_image: np.ndarray  # (texts,) image of each document or sentence
    pairs: np.ndarray  # (texts, B) bool
    relevant: np.ndarray  # (texts, B) bool

    def directions(self, scores: np.ndarray) -> dict[str, Direction]:
        if self.text_document is not None:
            scores = document_scores(scores, self.text_document)
        images = np.arange(scores.shape[1])
        return {
            "image_to_text": Direction(scores.T, self.pairs.T, self.relevant.T, images, self.text_image),
            "text_to_image": Direction(scores, self.pairs, self.relevant, self.text_image, images),
        }

    def metrics(self, scores: np.ndarray) -> Directions:
        return {
            name: retrieval_metrics(ranked.scores, ranked.pairs, ranked.relevant)
            for name, ranked in self.directions(scores).items()
        }

    def chance(self) -> Directions:
        return {
            "image_to_text": chance_metrics(self.pairs.T, self.relevant.T),
            "text_to_image": chance_metrics(self.pairs, self.relevant),
        }


def directions(scores: np.ndarray, collection: Collection) -> dict[str, Direction]:
    """Return both directions of a score (N, B) under the collection's first protocol.

    That is `document` where the collection has documents, else `sentence`; see `first_protocol`.

    Raises:
        RunError: scores that do not fit the collection.
    """
    protocol = _protocol(collection, images=_images(scores, collection), documents=collection.documents)
    return protocol.directions(scores)


def first_protocol(collection: Collection) -> str:
    """Return the name of the protocol that choices and comparisons are made by."""
    return "document" if collection.documents else "sentence"


def evaluate_scores(scores: Mapping[str, np.ndarray], collection: Collection, *, chance: bool = True) -> dict[str, Any]:
    """Return every metric of every score, chance, and the number of queries.

    The result holds `protocols` (protocol -> score name -> direction -> metric), `chance` (protocol -> direction ->
    metric) and `queries` (protocol -> direction -> "queries", "queries_without_relevant": those that MAP leaves out).
    Protocol `document` comes first where the collection has documents, `sentence` is always there.

    Args:
        scores: (N, B) by name, larger is better.
        collection: the texts and images that were scored.
        chance: whether to work out `chance`; without, the result has no such entry.

    Raises:
        RunError: no scores, or scores that do not fit the collection or hold NaN.
    """
    if not scores:
        raise RunError("there are no scores to evaluate; give at least one (N, B) array by name.")
    images = {_images(values, collection) for values in scores.values()}
    if len(images) > 1:
        raise RunError(f"scores name different numbers of images ({', '.join(map(str, sorted(images)))}).")
    result: dict[str, Any] = {"protocols": {}, **({"chance": {}} if chance else {}), "queries": {}}
    for name in ("document", "sentence") if collection.documents else ("sentence",):
        protocol = _protocol(collection, images=min(images), documents=name == "document")
        metrics = {score: protocol.metrics(values) for score, values in scores.items()}
        result["protocols"][name] = {
            score: {direction: {key: values[key] for key in METRICS} for direction, values in directions.items()}
            for score, directions in metrics.items()
        }
        if chance:
            result["chance"][name] = protocol.chance()
        result["queries"][name] = {
            direction: {key: int(values[key]) for key in ("queries", "queries_without_relevant")}
            for direction, values in next(iter(metrics.values())).items()
        }
    return result


def selection_metrics(scores: np.ndarray, collection: Collection) -> Directions:
    """Return direction -> metric -> value of one score (N, B) under the protocol that choices are made by.

    That is `document` where the collection has documents, else `sentence`.

    Raises:
        RunError: scores that do not fit the collection or hold NaN.
    """
    protocol = _protocol(collection, images=_images(scores, collection), documents=collection.documents)
    return protocol.metrics(scores)


def selection_value(metrics: Mapping[str, Mapping[str, float]], has_classes: bool) -> float:
    """Return the figure that picks an epoch from what `selection_metrics` returns; larger is better.

    With classes MAP@all averaged over both directions, in [0, 1]; without, the sum of recall@1, 5 and 10 over both
    directions, in [0, 6].
    """
    if has_classes:
        return sum(metrics[direction]["map@all"] for direction in DIRECTIONS) / len(DIRECTIONS)
    return sum(metrics[direction][f"recall@{cut}"] for direction in DIRECTIONS for cut in RECALL_CUTS)


def selection_error(value: float, has_classes: bool, images: int) -> float:
    """Return the standard error of a `selection_value` of so many validation images, at the most.

    A mean of n figures in [0, 1] that equals p has a standard error of no more than sqrt(p (1 - p) / n) (Bhatia and
    Davis, A Better Bound on the Variance, 2000). Epochs nearer to each other than that are told apart by chance, most
    of all where few images leave hardly anything to miss: the later one has learned more (the one-standard-error rule
    of Breiman et al., Classification and Regression Trees, 1984, has the simpler one in such a place).
    """
    largest = 1 if has_classes else len(DIRECTIONS) * len(RECALL_CUTS)
    share = min(max(value / largest, 0.0), 1.0)
    return largest * math.sqrt(share * (1 - share) / images)


def takes_the_place(value: float, best: float, tolerance: float, has_classes: bool, images: int) -> bool:
    """Return whether an epoch is kept in the place of those before it, of which the best had the value `best`.

    Args:
        value: `selection_value` of the epoch.
        best: of all epochs before.
        tolerance: standard errors (`selection_error`) by which it may miss the best; 0 keeps the best alone, of equals
            the first.
        has_classes: of the validation split.
        images: of the validation split.
    """
    if not tolerance:
        return value > best
    return value >= best - tolerance * selection_error(best, has_classes, images)


def _images(scores: np.ndarray, collection: Collection) -> int:
    """Return the number of images of scores that fit the collection."""
    texts, last = len(collection.text_image), int(np.max(collection.text_image, initial=-1))
    labels = collection.labels
    expected = f"({texts}, {last + 1} or more)" if labels is None else f"({texts}, {len(labels)})"
    fits = scores.ndim == 2 and len(scores) == texts and scores.shape[1] > last
    if not fits or (labels is not None and scores.shape[1] != len(labels)):
        raise RunError(
            f"scores have the shape {scores.shape}, the collection expects (texts, images) = {expected}. "
            "Score the same split that the collection describes."
        )
    return scores.shape[1]


def _protocol(collection: Collection, *, images: int, documents: bool) -> _Protocol:
    text_image, text_document = np.asarray(collection.text_image), None
    if documents:
        text_image, text_document = np.unique(text_image, return_inverse=True)
    pairs = text_image[:, None] == np.arange(images)
    if not collection.has_classes:
        return _Protocol(text_document, text_image, pairs, pairs)
    labels = np.asarray(collection.labels)
    labels = (labels[:, telling_classes(labels)] > 0).astype(np.float32)
    same = labels @ labels.T > 0
    np.fill_diagonal(same, True)
    return _Protocol(text_document, text_image, pairs, same[text_image])
