"""How well the words of a text are found in the regions of an image (AttnGAN's DAMSM, Eq 7-10)."""

from typing import Any

import keras
from keras import ops

from dafsn_tf.layers.unit_vectors import unit_vectors

EXPECTED_WORDS = 20  # of a batch whose length is known only when it runs


@keras.saving.register_keras_serializable("dafsn")
class WordRegionAttention(keras.layers.Layer):
    """Word-region relevance R(Q, D) of texts and images.

    For word features e (T, D) and region features v (R, D):
    s = e v^T (Eq 7); softmax of s over words, for each region (Eq 8); attention = softmax over regions of gamma1 times
    that; context c_t = sum_r attention_tr v_r (Eq 9); word relevance r_t = cos(c_t, e_t); words pooled by
    R = 1/gamma2 log sum_t exp(gamma2 r_t) (Eq 10) or its length-free forms. Computed in float32; only the product e v^T
    follows the layer's policy.

    With `similarity` "cosine", s = cos(e, v), and the attention is the softmax over regions of gamma1 s; c_t is made of
    regions of unit length. That is SCAN's attention (Lee et al., ECCV 2018) without its normalisation over words.

    `direction` "regions_to_words" turns the roles around, as SCAN's image-to-text form does (Lee et al., ECCV 2018):
    each region attends to the words, and the relevances of regions are pooled; "both" is the mean of the two.

    Contexts are not formed for their product with words, e.c = sum_r a_r s_r, and where R < D not for their length
    either: |c|^2 = a^T (V V^T) a needs fewer operations.

    Args:
        gamma1: sharpness of the attention over regions.
        gamma2: sharpness of pooling over words.
        word_pooling: "log_sum_exp" (Eq 10; favours long texts), "mean" (SCAN's AVG form, Lee et al., ECCV 2018) or
            "log_mean_exp", which is this package's own: Eq 10 less log(T) / gamma2, between the two.
        max_elements: largest (B, texts, T, R) block held at once; more texts are taken in chunks, recomputed in the
            backward pass.
        direction: "words_to_regions", "regions_to_words" or "both".
        similarity: "product" (as published) or "cosine" of words and regions.

    `call` scores all pairs: word features (N, T, D), word mask (N, T), region features (B, R, D) to scores (N, B).
    `attend` explains pairs: text i with image i. A text without words has the score 0.
    """

    def __init__(
        self,
        gamma1: float = 5.0,
        gamma2: float = 5.0,
        word_pooling: str = "log_mean_exp",
        max_elements: int = 2**23,
        direction: str = "words_to_regions",
        similarity: str = "product",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gamma1 = gamma1
        self.gamma2 = gamma2
        self.word_pooling = word_pooling
        self.direction = direction
        self.similarity = similarity
        self.max_elements = max_elements

    def call(self, word_features: Any, word_mask: Any, region_features: Any) -> Any:
        """Return the relevance (N, B) of every text to every image."""
        word_features, region_features = self._compared(word_features), self._compared(region_features)
        present = ops.cast(word_mask, "float32")
        gram = _gram(region_features)
        chunk = self._texts_per_chunk(word_features.shape, region_features.shape)
        if chunk is None:
            return self._score_block(word_features, present, region_features, *gram)
        # Everything the block needs is an argument, and a float: recomputation drops gradients of what a closure
        # holds, and cannot differentiate past a boolean.
        score_block = keras.remat(self._score_block)
        blocks = [
            score_block(word_features[start : start + chunk], present[start : start + chunk], region_features, *gram)
            for start in range(0, word_features.shape[0], chunk)
        ]
        return ops.concatenate(blocks, axis=0)

    def attend(self, word_features: Any, word_mask: Any, region_features: Any) -> dict[str, Any]:
        """Return what text i sees in image i, for N pairs.

        Returns:
            `attention` (N, T, R), each word's sums to 1 and is 0 where padded; `word_relevance` (N, T) in [-1, 1], 0
            where padded; `score` (N,), the diagonal of `call`'s.
        """
        word_features, region_features = self._compared(word_features), self._compared(region_features)
        present = ops.cast(word_mask, "float32")
        scores = self._scores(word_features, present, region_features)  # (N, T, R)
        weights = self._attention_weights(scores)
        product = ops.sum(weights * scores, axis=-1)
        context_square = _context_square(weights, region_features, *_gram(region_features))
        relevance = _cosine(product, context_square, _square(word_features))
        return {
            "attention": weights / ops.sum(weights, axis=-1, keepdims=True) * present[..., None],
            "word_relevance": relevance * present,
            "score": self._score(scores, relevance, word_features, present, region_features),
        }

    def attended_regions(self, word_features: Any, word_mask: Any, region_features: Any) -> Any:
        """Return c (N, T, D): the mean of image i's regions as each word of text i attends to them; 0 where padded."""
        word_features, region_features = self._compared(word_features), self._compared(region_features)
        present = ops.cast(word_mask, "float32")
        weights = self._attention_weights(self._scores(word_features, present, region_features))
        weights = weights / ops.sum(weights, axis=-1, keepdims=True) * present[..., None]
        return ops.matmul(weights, region_features)

    def _compared(self, features: Any) -> Any:
        """Return features (..., D) as they are compared: in float32, at unit length where their cosine counts."""
        return unit_vectors(features) if self.similarity == "cosine" else ops.cast(features, "float32")

    def _score_block(self, word_features: Any, present: Any, region_features: Any, *gram: Any) -> Any:
        """Return the relevance (N, B) of every text to every image, all in one block.

        The words of all texts meet the regions of all images in one matrix product, (N T, D) by (D, B R), which takes
        less than half the time of a product for each image. Only |c|^2 needs each image by itself.
        """
        text_shape: Any = ops.shape(word_features)
        image_shape: Any = ops.shape(region_features)
        (texts, words, dim), (images, regions, _) = text_shape, image_shape
        scores = self._scores(
            ops.reshape(word_features, (texts * words, dim)),
            ops.reshape(present, (texts * words,)),
            ops.reshape(region_features, (images * regions, dim)),
        )
        scores = ops.reshape(scores, (texts, words, images, regions))
        weights = self._attention_weights(scores)
        product = ops.sum(weights * scores, axis=-1)
        by_image = ops.transpose(ops.reshape(weights, (texts * words, images, regions)), (1, 0, 2))
        context_square = _context_square(by_image, region_features, *gram)  # (B, N T)
        relevance = _cosine(
            product,
            ops.reshape(ops.transpose(context_square), (texts, words, images)),
            _square(word_features)[..., None],
        )
        return self._score(scores, relevance, word_features, present, region_features)

    def _scores(self, word_features: Any, present: Any, region_features: Any) -> Any:
        """Return e v^T (..., T, R) (Eq 7), far below all others where a word is padding.

        The mask travels through the product as one more dimension, which spares a pass over the scores.

        Args:
            word_features: (..., T, D).
            present: (..., T), 1 where there is a word, 0 where there is padding.
            region_features: (..., R, D).
        """
        words = ops.concatenate([word_features, (present[..., None] - 1.0) * 1e4], axis=-1)
        regions = ops.concatenate([region_features, ops.ones_like(region_features[..., :1])], axis=-1)
        words, regions = ops.cast(words, self.compute_dtype), ops.cast(regions, self.compute_dtype)
        return ops.cast(ops.matmul(words, ops.swapaxes(regions, -1, -2)), "float32")

    def _score(self, scores: Any, relevance: Any, word_features: Any, present: Any, region_features: Any) -> Any:
        """Return one score of each pair by `direction`, (N,) or (N, B).

        Args:
            scores: (N, T, R) of text i with image i, or (N, T, B, R) of every text with every image.
            relevance: of words, (N, T) or (N, T, B).
            word_features: (N, T, D).
            present: (N, T), 1 or 0.
            region_features: (N, R, D) or (B, R, D).
        """
        words = self._pool(relevance, _reaching(present, relevance))
        if self.direction == "words_to_regions":
            return words
        regions = self._pool_regions(scores, word_features, present, region_features)
        return regions if self.direction == "regions_to_words" else 0.5 * (words + regions)

    def _pool_regions(self, scores: Any, word_features: Any, present: Any, region_features: Any) -> Any:
        """Return the score of regions that attend to words; arguments and shapes as in `_score`."""
        # Padding is not attended to.
        weights = self._attention_weights(scores, attended=1) * _reaching(present, scores)
        product = ops.sum(weights * scores, axis=1)  # (N, R) or (N, B, R)
        gram = ops.matmul(word_features, ops.transpose(word_features, (0, 2, 1)))  # (N, T, T)
        shape: Any = ops.shape(scores)
        spread = ops.matmul(gram, ops.reshape(weights, (shape[0], shape[1], -1)))
        context_square = ops.sum(ops.reshape(spread, shape) * weights, axis=1)
        relevance = _cosine(product, context_square, _square(region_features))
        relevance = ops.moveaxis(relevance, -1, 1)
        pooled = self._pool(relevance, ops.ones_like(relevance))
        return ops.where(_reaching(ops.any(present > 0, axis=-1), pooled), pooled, 0.0)

    def _attention_weights(self, scores: Any, attended: int = -1) -> Any:
        """Return the attention of words over regions, of the shape of scores, but for a factor for each word (Eq 8-9).

        With `attended` 1 that is the attention of regions over words, but for a factor for each region.

        The factor is the softmax's denominator; the cosine of a context does not depend on it.

        Args:
            scores: (N, T, ..., R), text by text, word by word; at the end region by region.
            attended: axis of regions, -1, or of words, 1.
        """
        if self.similarity == "cosine":
            highest = ops.stop_gradient(ops.max(scores, axis=attended, keepdims=True))
            return ops.exp(self.gamma1 * (scores - highest))
        attending = 1 if attended == -1 else -1
        highest = ops.stop_gradient(ops.max(scores, axis=attending, keepdims=True))
        exponents = ops.exp(scores - highest)
        # The exponent needs no guard: it lies between 0 and gamma1.
        return ops.exp(exponents * (self.gamma1 / ops.sum(exponents, axis=attending, keepdims=True)))

    def _pool(self, relevance: Any, present: Any) -> Any:
        """Return one score from relevances (N, T) or (N, T, B), over their second axis (Eq 10).

        Args:
            relevance: of words, or of regions in the place of words.
            present: 1 where they count, 0 where not, of a shape that broadcasts to them.
        """
        count = ops.sum(present, axis=1)
        if self.word_pooling == "mean":
            return ops.sum(relevance * present, axis=1) / ops.maximum(count, 1.0)
        pooled = ops.logsumexp(ops.where(present > 0, self.gamma2 * relevance, -1e9), axis=1)
        if self.word_pooling == "log_mean_exp":
            pooled = pooled - ops.log(ops.maximum(count, 1.0))
        return ops.where(count > 0, pooled / self.gamma2, 0.0)

    def _texts_per_chunk(self, words_shape: Any, regions_shape: Any) -> int | None:
        """Return how many texts a chunk has, or None where one block is small enough or its size is unknown."""
        texts, words, images, regions = *words_shape[:2], *regions_shape[:2]
        if texts is None or images is None:
            return None
        words = words or EXPECTED_WORDS
        if texts * words * images * regions <= self.max_elements:
            return None
        return max(1, self.max_elements // (words * images * regions))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "gamma1": self.gamma1,
            "gamma2": self.gamma2,
            "word_pooling": self.word_pooling,
            "direction": self.direction,
            "similarity": self.similarity,
            "max_elements": self.max_elements,
        }


def _gram(region_features: Any) -> tuple[Any, ...]:
    """Return (V V^T,), (B, R, R), where that saves operations (R < D), else nothing."""
    _, regions, dim = region_features.shape
    if regions is None or regions >= dim:
        return ()
    return (ops.matmul(region_features, ops.transpose(region_features, (0, 2, 1))),)


def _context_square(weights: Any, region_features: Any, *gram: Any) -> Any:
    """Return |c|^2 (B, T) of contexts that weights (B, T, R) make of regions (B, R, D)."""
    if gram:
        return ops.sum(ops.matmul(weights, gram[0]) * weights, axis=-1)
    return _square(ops.matmul(weights, region_features))


def _square(vectors: Any) -> Any:
    return ops.sum(ops.square(vectors), axis=-1)


def _cosine(product: Any, square: Any, other_square: Any) -> Any:
    """Return the cosine of two vectors from their product and the squares of their lengths."""
    return product / ops.sqrt(ops.maximum(square, 1e-8) * ops.maximum(other_square, 1e-8))


def _reaching(values: Any, tensor: Any) -> Any:
    """Return values with as many axes as a tensor that shares their first ones."""
    shape: Any = ops.shape(values)
    return ops.reshape(values, (*shape, *(1,) * (len(tensor.shape) - len(values.shape))))
