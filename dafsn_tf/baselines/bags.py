"""Texts as bags of words: tf-idf vectors over the tokeniser's vocabulary."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from dafsn_tf.baselines.inputs import Split


class BagsOfWords:
    """Turns a split's texts into tf-idf vectors of unit length, (N, W) sparse float32.

    W words of the training split's vocabulary, tf = 1 + log count, idf over the training sentences. Words outside the
    vocabulary are left out.

    Args:
        train: the training split.
    """

    def __init__(self, train: Split) -> None:
        options: Any = {"analyzer": list, "sublinear_tf": True, "dtype": np.float32}  # texts come as lists of words
        self._vectorizer = TfidfVectorizer(**options)
        self._vectorizer.fit(self._known_words(train))

    def sentences(self, split: Split) -> Any:
        """Return each text's vector, (N, W)."""
        return self._vectorizer.transform(self._known_words(split))

    def documents(self, split: Split) -> Any:
        """Return each image's vector, (B, W): all its texts as one."""
        words: list[list[int]] = [[] for _ in range(len(split.records))]
        for image, sentence in zip(split.collection.text_image, self._known_words(split), strict=True):
            words[image] += sentence
        return self._vectorizer.transform(words)

    def _known_words(self, split: Split) -> Iterator[list[int]]:
        for row in split.word_ids.tolist():
            yield [word for word in row if word >= split.first_word]
