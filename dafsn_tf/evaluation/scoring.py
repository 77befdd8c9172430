"""Scores of every text with every image, in bounded memory."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from dafsn_tf.errors import RunError
from dafsn_tf.progress import Progress

Relevance = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

_LEAST_NORM = 1e-8  # a zero vector scores 0 with everything
_LENGTH_STEP = 4  # words by which texts of similar length are grouped
_MOST_LENGTHS = 8  # groups, and so compilations of a `tf.function`, at most


def sentence_scores(sentence_features: np.ndarray, image_features: np.ndarray) -> np.ndarray:
    """Return the cosine of every text with every image, (N, B) float32 in [-1, 1].

    Args:
        sentence_features: (N, D).
        image_features: (B, D).
    """
    return _unit(sentence_features) @ _unit(image_features).T


def label_scores(text_logits: np.ndarray, image_logits: np.ndarray, sharpness: float = 1.0) -> np.ndarray:
    """Return the probability that text and image share a class, (N, B) float32 in [0, 1].

    That is the product of their class posteriors, summed over the classes; the agreement by which semantic matching
    ranks (Rasiwasia et al., ACM MM 2010).

    Args:
        text_logits: (N, C) of the label classifier.
        image_logits: (B, C).
        sharpness: power that the posteriors are raised to and normalised, the inverse of a temperature.
    """
    return _posteriors(sharpness * text_logits) @ _posteriors(sharpness * image_logits).T


def word_scores(
    relevance: Relevance,
    word_features: np.ndarray,
    word_mask: np.ndarray,
    region_features: np.ndarray,
    *,
    max_elements: int = 2**26,
    progress: Progress | None = None,
) -> np.ndarray:
    """Return the word-region relevance R(Q, D) of every text with every image, (N, B) float32.

    Texts of similar length are scored together without the padding they share. All blocks of one length have one shape
    (the last is filled up by repeating its last text or image), so a compiled `relevance` compiles once a length.

    Args:
        relevance: takes words (n, T', D), their mask (n, T') and regions (b, R, D), returns (n, b).
        word_features: (N, T, D).
        word_mask: (N, T) bool, true where there is a word.
        region_features: (B, R, D); a memory map will do, and any float type.
        max_elements: most word-region scores n T' b R of a block; one text with one image is the smallest block.
        progress: called after each block with the pairs done and the pairs in all.
    """
    texts, images = len(word_features), len(region_features)
    scores = np.empty((texts, images), np.float32)
    done = 0
    for length, members in _length_groups(word_mask):
        text_block, image_block = _block_shape(
            len(members), images, max_elements // max(1, length * region_features.shape[1])
        )
        for columns in _blocks(np.arange(images), image_block):
            regions = _filled(region_features[columns[0] : columns[-1] + 1], image_block)
            for rows in _blocks(members, text_block):
                words = _filled(word_features[rows, :length], text_block)
                mask = _filled(word_mask[rows, :length], text_block)
                block = np.asarray(relevance(words, mask, regions))
                scores[np.ix_(rows, columns)] = block[: len(rows), : len(columns)]
                done += len(rows) * len(columns)
                if progress is not None:
                    progress(done, texts * images)
    return scores


def document_scores(scores: np.ndarray, text_document: np.ndarray) -> np.ndarray:
    """Return each document's scores, (documents, B): the mean over its texts.

    Args:
        scores: (N, B).
        text_document: (N,) document of each text, numbered from 0 without gaps, in any order.

    Raises:
        RunError: a number of texts that differs from the scores', or a document without a text.
    """
    if len(text_document) != len(scores):
        raise RunError(f"{len(scores)} texts have scores, but {len(text_document)} are assigned to documents.")
    counts = np.bincount(text_document)
    if not counts.all():
        raise RunError(f"document {np.flatnonzero(counts == 0)[0]} has no text; number documents without gaps.")
    order = np.argsort(text_document, kind="stable")
    starts = np.cumsum(counts) - counts
    totals = np.add.reduceat(scores[order], starts, axis=0, dtype=np.float64)
    return (totals / counts[:, None]).astype(scores.dtype)


def _posteriors(logits: np.ndarray) -> np.ndarray:
    logits = np.asarray(logits, np.float32)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def _unit(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), _LEAST_NORM)


def _length_groups(word_mask: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield a number of words and the texts that need no more, short ones first."""
    words = word_mask.shape[1]
    lengths = (np.asarray(word_mask, bool) * np.arange(1, words + 1)).max(axis=1)
    step = _LENGTH_STEP * math.ceil(words / (_LENGTH_STEP * _MOST_LENGTHS))
    padded = np.minimum(np.maximum(-(-lengths // step), 1) * step, words)
    for length in np.unique(padded):
        yield int(length), np.flatnonzero(padded == length)


def _block_shape(texts: int, images: int, pairs: int) -> tuple[int, int]:
    """Return (n, b) with n b <= `pairs` (but at least 1, 1), about square, that cut both sides evenly."""
    image_block = min(images, max(1, math.isqrt(pairs)))
    text_block = min(texts, max(1, pairs // image_block))
    image_block = min(images, max(1, pairs // text_block))
    return _even(texts, text_block), _even(images, image_block)


def _even(count: int, block: int) -> int:
    return math.ceil(count / math.ceil(count / block))


def _blocks(indices: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(indices), size):
        yield indices[start : start + size]


def _filled(values: np.ndarray, size: int) -> np.ndarray:
    """Return `values` with its last row repeated up to `size` rows; floats as float32."""
    if values.dtype != bool:
        values = np.asarray(values, np.float32)
    missing = size - len(values)
    return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if missing else values
