"""Texts as bags of words: tf-idf vectors over the tokeniser's vocabulary, with word vectors beside them if wanted."""

from collections.abc import Iterator
from functools import lru_cache
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
    (`text.embeddings`), and those of the words that DAFSN knows by their vectors alone (`text.added_words`), which
    weigh as words of no training sentence.

    Args:
        train: the training split.
        vector_weight: length of the sum of word vectors beside tf-idf's 1; with 0, or a configuration without
            pre-trained vectors, there are no such columns.
    """

    def __init__(self, train: Split, vector_weight: float = 0.0) -> None:
        self._weight = vector_weight if train.config.text.embeddings != "none" else 0.0
        met, added = np.unique(train.word_ids), len(train.added_words) if self._weight else 0
        trained = met[met >= train.first_word]
        first_added = train.first_word + len(train.vocabulary)
        columns = [*trained.tolist(), *range(first_added, first_added + added)]
        self._trained = len(trained)
        options: Any = {"analyzer": list, "lowercase": False, "norm": None, "dtype": np.float32}  # of word ids
        options["vocabulary"] = {word: column for column, word in enumerate(columns)}
        self._vectorizer = TfidfVectorizer(sublinear_tf=True, **options)
        weighted = self._vectorizer.fit_transform(_words(train))
        if self._weight:
            self._vectors = _word_vectors(train, columns)
            self._mean = self._meanings(weighted).mean(axis=0)

    def sentences(self, split: Split) -> Any:
        """Return each text's vector, (N, W) or (N, W + d)."""
        weighted: Any = self._vectorizer.transform(_words(split))
        bags = normalize(weighted[:, : self._trained])
        if not self._weight:
            return bags
        meanings = self._weight * (self._meanings(weighted) - self._mean)
        return sparse.hstack([bags, sparse.csr_matrix(meanings)], format="csr")

    def _meanings(self, weighted: Any) -> np.ndarray:
        """Return what weighted words (N, columns) mean before centring, (N, d); zero where no word has a vector."""
        meanings: Any = normalize(weighted @ self._vectors)
        return meanings


def _words(split: Split) -> Iterator[list[int]]:
    for row in split.known_word_ids.tolist():
        yield [word for word in row if word >= split.first_word]


def _word_vectors(train: Split, word_ids: list[int]) -> np.ndarray:
    """Return the vectors (W, d) of words, zero where a word has none."""
    return _all_vectors(train.config.text.embeddings, (*train.vocabulary, *train.added_words))[
        np.array(word_ids) - train.first_word
    ]


@lru_cache(maxsize=1)  # each setting that is tried asks for the same, and a file may have millions of lines
def _all_vectors(source: str, words: tuple[str, ...]) -> np.ndarray:
    found, known = word_vectors(source, words)
    vectors = np.zeros((len(words), max(known.shape[1], 1)), np.float32)  # a column even where no word has one
    vectors[found, : known.shape[1]] = known
    return vectors
