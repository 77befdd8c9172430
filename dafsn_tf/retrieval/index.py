"""A searchable collection: sentences rank everything, words re-rank the best candidates."""

from typing import Any

import numpy as np
import tensorflow as tf

from dafsn_tf.errors import DataError
from dafsn_tf.evaluation.embedding import Embeddings, word_ids_of
from dafsn_tf.layers import unit_vectors
from dafsn_tf.retrieval.encoder import IMAGES, TEXTS, Encoder, with_status

CANDIDATES = 100


class Index(tf.Module):
    """Pictures and texts of a collection, ready to be searched from raw queries.

    The first stage takes the `candidates` best by the sentence score, over all; the second orders them by the fused
    score, for which region features are kept in float16. So are word features where they depend on the text
    (`text.word_features = "lstm"`), 2 D bytes a word; else its id is enough, 4 bytes.

    Args:
        encoder: of the run that embedded the collection.
        embeddings: of the collection; its words are read only where they depend on the text.
        ids: (B,) of the pictures.
        texts: of each picture, in the order they were embedded; a picture may have none.
        top_k: answers to a query.
        candidates: re-ranked for each query.

    Raises:
        DataError: an empty collection.
    """

    def __init__(
        self,
        encoder: Encoder,
        embeddings: Embeddings,
        ids: list[str],
        texts: list[tuple[str, ...]],
        top_k: int = 10,
        candidates: int = CANDIDATES,
    ) -> None:
        super().__init__(name="index")
        if not ids:
            raise DataError("The collection to index is empty; name a split that holds pictures.")
        self.encoder = encoder
        self._num_images = len(ids)
        self.top_k = top_k
        self.candidates = max(candidates, top_k)
        text_image = embeddings.collection.text_image
        self.images = _kept(unit_vectors(embeddings.images), tf.float32)  # (B, F)
        self.regions = _kept(embeddings.regions, tf.float16)  # (B, R, D)
        self.sentences = _kept(unit_vectors(embeddings.sentences), tf.float32)  # (N, F)
        self.image_ids = tf.constant(ids)  # (B,)
        self.first_texts = tf.constant([captions[0] if captions else "" for captions in texts])  # (B,)
        self.text_ids = tf.constant([ids[image] for image in text_image], tf.string)  # (N,)
        self.texts = tf.constant([text for captions in texts for text in captions], tf.string)  # (N,)
        if encoder.model.words_know_their_text:
            self.words = _kept(embeddings.words, tf.float16)  # (N, T, D)
            self.word_mask = _kept(embeddings.word_mask, tf.bool)  # (N, T)
        else:
            self.word_ids = _kept(word_ids_of(encoder.text_preprocessor, self.texts), tf.int32)  # (N, T)

    def __len__(self) -> int:
        """Return how many pictures there are."""
        return self._num_images

    @tf.function(input_signature=[TEXTS])
    def search(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the pictures that texts (n,) ask for, best first.

        Returns:
            `ids`, `captions` (each picture's first text, or nothing) and fused `scores`, all (n, k); `status` (n,). A
            row that has a status has empty strings and zeros.
        """
        query = self.encoder.encode_text(texts)

        def rerank(row: Any) -> tuple[tf.Tensor, tf.Tensor]:
            sentence, words, mask = row
            scores = tf.linalg.matvec(self.images, sentence)
            best = tf.math.top_k(scores, tf.minimum(self.candidates, tf.shape(scores)[0])).indices
            regions = tf.cast(tf.gather(self.regions, best), tf.float32)
            word_scores = self.encoder.model.attention(words[None], mask[None], regions)[0]
            labels = self.encoder.label_agreement(sentence[None], tf.gather(self.images, best))
            return self._best(best, tf.gather(scores, best), word_scores, labels)

        found, scores = self._map(rerank, (query["sentence_features"], query["word_features"], query["word_mask"]))
        hits = {
            "ids": tf.gather(self.image_ids, found),
            "captions": tf.gather(self.first_texts, found),
            "scores": scores,
        }
        return with_status(hits, query["status"])

    @tf.function(input_signature=[IMAGES])
    def search_by_image(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the texts that suit encoded pictures (n,), best first.

        Returns:
            `ids` (of the texts' pictures), `captions` and fused `scores`, all (n, k); `status` (n,). A row that has a
            status has empty strings and zeros.
        """
        query = self.encoder.encode_image(images)

        def rerank(row: Any) -> tuple[tf.Tensor, tf.Tensor]:
            image, regions = row
            scores = tf.linalg.matvec(self.sentences, image)
            best = tf.math.top_k(scores, tf.minimum(self.candidates, tf.shape(scores)[0])).indices
            word_scores = self.encoder.model.attention(*self._words_of(best), regions[None])[:, 0]
            labels = self.encoder.label_agreement(tf.gather(self.sentences, best), image[None])
            return self._best(best, tf.gather(scores, best), word_scores, labels)

        found, scores = self._map(rerank, (query["image_features"], query["region_features"]))
        hits = {"ids": tf.gather(self.text_ids, found), "captions": tf.gather(self.texts, found), "scores": scores}
        return with_status(hits, query["status"])

    def _words_of(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return word features (n, T, D), float32, and their mask (n, T) of texts by their numbers (n,)."""
        if self.encoder.model.words_know_their_text:
            return tf.cast(tf.gather(self.words, texts), tf.float32), tf.gather(self.word_mask, texts)
        word_ids = tf.gather(self.word_ids, texts)
        return tf.cast(self.encoder.model.embed_words(word_ids), tf.float32), word_ids != 0

    def _best(
        self, candidates: tf.Tensor, sentence: tf.Tensor, word: tf.Tensor, label: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        fused = self.encoder.fuse(sentence, word, label)
        top = tf.math.top_k(fused, tf.minimum(self.top_k, tf.shape(fused)[0]))
        return tf.gather(candidates, top.indices), top.values

    @staticmethod
    def _map(rerank: Any, rows: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
        signature = (tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.float32))
        return tf.map_fn(rerank, rows, fn_output_signature=signature)


def _kept(values: Any, dtype: tf.DType) -> tf.Variable:
    return tf.Variable(tf.cast(np.asarray(values), dtype), trainable=False)
