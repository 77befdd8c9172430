"""Texts as bags of words: tf-idf vectors over the tokeniser's vocabulary, with word vectors beside them if wanted."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from dafsn_tf.baselines.inputs import Split
from dafsn_tf.data.word_vectors import word_vectors


class BagsOfWords:
    """Turns a split's texts into tf-idf vectors of unit length, (N, W) sparse float32.

    W words of the training split's vocabulary, tf = 1 + log count, idf over the training sentences. Words outside the
    vocabulary are left out.

    Beside them may stand what a text's words mean, d more columns: the sum of their pre-trained vectors weighted by
    tf-idf, at unit length, minus the training sentences' mean. The vectors are those that DAFSN's words begin with
    (`text.embeddings`).

    Args:
        train: the training split.
        vector_weight: length of the sum of word vectors beside tf-idf's 1; with 0, or a configuration without
            pre-trained vectors, there are no such columns.
    """

    def __init__(self, train: Split, vector_weight: float = 0.0) -> None:
        options: Any = {"analyzer": list, "sublinear_tf": True, "dtype": np.float32}  # texts come as lists of words
        self._vectorizer = TfidfVectorizer(**options)
        bags = self._vectorizer.fit_transform(self._known_words(train))
        self._weight = vector_weight if train.config.text.embeddings != "none" else 0.0
        if self._weight:
            self._vectors = self._word_vectors(train)
            self._mean = self._meanings(bags).mean(axis=0)

    def sentences(self, split: Split) -> Any:
        """Return each text's vector, (N, W) or (N, W + d)."""
        return self._complete(self._vectorizer.transform(self._known_words(split)))

    def documents(self, split: Split) -> Any:
        """Return each image's vector, (B, W) or (B, W + d): all its texts as one."""
        words: list[list[int]] = [[] for _ in range(len(split.records))]
        for image, sentence in zip(split.collection.text_image, self._known_words(split), strict=True):
            words[image] += sentence
        return self._complete(self._vectorizer.transform(words))

    def _complete(self, bags: Any) -> Any:
        if not self._weight:
            return bags
        meanings = self._weight * (self._meanings(bags) - self._mean)
        return sparse.hstack([bags, sparse.csr_matrix(meanings)], format="csr")

    def _meanings(self, bags: Any) -> np.ndarray:
        """Return what bags (N, W) mean before centring, (N, d) float32; zero where no word has a vector."""
        meanings: Any = normalize(bags @ self._vectors)
        return meanings

    def _word_vectors(self, train: Split) -> np.ndarray:
        """Return the vectors (W, d) of the columns' words, zero where a word has none."""
        words = [train.vocabulary[word - train.first_word] for word in self._vectorizer.get_feature_names_out()]
        found, known = word_vectors(train.config.text.embeddings, words)
        vectors = np.zeros((len(words), max(known.shape[1], 1)), np.float32)  # a column even where no word has one
        vectors[found, : known.shape[1]] = known
        return vectors

    def _known_words(self, split: Split) -> Iterator[list[int]]:
        for row in split.word_ids.tolist():
            yield [word for word in row if word >= split.first_word]
