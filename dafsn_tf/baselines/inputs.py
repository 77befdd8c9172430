"""What every method reads of a collection: the same frozen features, the same words, labels.

Features come from the cache that DAFSN trains on, standardised by its `FeatureStandardizer` (training mean and
deviation); words are those of its tokeniser and vocabulary (training split), and those that it knows by their
pre-trained vectors alone.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dafsn_tf.config import Config
from dafsn_tf.data.features import FrozenFeatures, Progress, cached_features
from dafsn_tf.data.manifest import Manifest
from dafsn_tf.data.records import RecordSplit, open_split
from dafsn_tf.errors import ConfigError
from dafsn_tf.evaluation.embedding import selection_sample
from dafsn_tf.evaluation.protocols import Collection
from dafsn_tf.fitting import added_words
from dafsn_tf.layers.feature_standardizer import FeatureStandardizer
from dafsn_tf.preprocessing.text import TextPreprocessor, build_vocabulary
from dafsn_tf.runs import load_backbone

_BATCH = 4096  # texts tokenised at once


@dataclass(frozen=True, eq=False)
class Split:
    """One split: N texts and B images, each image seen in V variants (as it is; mirrored too, averaged).

    Attributes:
        data: the collection's folder.
        config: texts and images are read as it says.
        records: texts, ids, labels.
        features: frozen regions (B, V, R, C) and global vectors (B, V, C').
        image_vectors: (B, V, C') float32, the global vectors standardised.
        region_standardizer: `FeatureStandardizer` of the training split's regions.
        word_ids: (N, T) int32, 0 pads, 1 to `oov_buckets` are unknown words, then the vocabulary in order.
        known_word_ids: likewise, where words of `added_words` have ids of their own, after the vocabulary's.
        vocabulary: words of the training split.
        added_words: others that DAFSN knows by their vectors (`text.added_words`).
        collection: which text belongs to which image, labels, documents.
    """

    data: Path
    config: Config
    records: RecordSplit
    features: FrozenFeatures
    image_vectors: np.ndarray
    region_standardizer: FeatureStandardizer
    word_ids: np.ndarray
    known_word_ids: np.ndarray
    vocabulary: list[str]
    added_words: list[str]
    collection: Collection

    @property
    def first_word(self) -> int:
        """The id of the vocabulary's first word."""
        return 1 + self.config.text.oov_buckets

    @property
    def labels(self) -> np.ndarray:
        """Classes of the images, (B, C) multi-hot."""
        return self.records.labels

    @property
    def text_labels(self) -> np.ndarray:
        """Classes of the texts' images, (N, C) multi-hot."""
        return self.records.labels[self.collection.text_image]

    def first_texts(self, count: int) -> "Split":
        """Return this split as it is read with the first `count` texts of each image, with all of them if 0."""
        if not count:
            return self
        texts, images = [texts[:count] for texts in self.records.texts], self.collection.text_image
        first = np.searchsorted(images, np.arange(len(self.records)))  # each image's texts stand together, in order
        kept = np.arange(len(images)) - first[images] < count
        return replace(
            self,
            records=replace(self.records, texts=texts),
            word_ids=self.word_ids[kept],
            known_word_ids=self.known_word_ids[kept],
            collection=replace(self.collection, text_image=images[kept]),
        )


class Inputs:
    """Opens the splits of a collection; what is fitted is fitted on the training split alone.

    Args:
        data: a prepared collection.
        config: its `image` and `text` sections say which features and words are read.
        progress: receives images done and in all where features are yet to be computed.

    Raises:
        ConfigError: a backbone that is trained: it has no frozen features.
        DataError, WeightsError: what the user can mend.
    """

    def __init__(self, data: Path, config: Config, progress: Progress | None = None) -> None:
        if config.image.trains_backbone:
            raise ConfigError(
                f"The configuration trains its backbone '{config.image.backbone}', so there are no frozen features to "
                "compare on. Name one with backbone 'inception_v3' and fine_tune_from 'none' by --config, for example "
                "default."
            )
        self.data, self.config, self.progress = Path(data), config, progress
        self.manifest = Manifest.read(data)
        self.backbone = load_backbone(config.image)
        records = open_split(data, "train")
        self._vocabulary = build_vocabulary(
            (text for texts in records.texts for text in texts), config.text.max_vocabulary, config.text.min_count
        )
        self._added = added_words(config, self._vocabulary)
        self._preprocessor = self._knowing = self._preprocessor_of(self._vocabulary)
        if self._added:
            self._knowing = self._preprocessor_of([*self._vocabulary, *self._added])
        features = self._features(records)
        self._region_standardizer = FeatureStandardizer()
        self._global_standardizer = FeatureStandardizer(self.backbone.global_widths)
        self._region_standardizer.adapt(regions for regions, _ in features.batches())
        self._global_standardizer.adapt(whole for _, whole in features.batches())

    def open(self, split: str, *, whole: bool = False) -> Split:
        """Return a split; of the validation split the images that DAFSN too is chosen by (`selection_sample`).

        Args:
            split: its name.
            whole: all images of the validation split too, for what is measured and not chosen.

        Raises:
            DataError: no such split.
        """
        records = open_split(self.data, split)
        features = self._features(records)
        if split == "validation" and not whole:
            records, features = selection_sample(records, features, self.config.evaluation)
        texts = [text for texts in records.texts for text in texts]
        word_ids = _word_ids(texts, self._preprocessor)
        return Split(
            data=self.data,
            config=self.config,
            records=records,
            features=features,
            image_vectors=np.asarray(keras.ops.convert_to_numpy(self._global_standardizer(features.whole))),
            region_standardizer=self._region_standardizer,
            word_ids=word_ids,
            known_word_ids=word_ids if self._knowing is self._preprocessor else _word_ids(texts, self._knowing),
            vocabulary=self._vocabulary,
            added_words=self._added,
            collection=Collection(
                text_image=np.repeat(np.arange(len(records)), [len(texts) for texts in records.texts]),
                labels=records.labels if records.labels.any() else None,
                documents=records.manifest.documents,
            ),
        )

    def describe(self) -> dict[str, Any]:
        """Return what the features and words are, fit for JSON: figures compare only where it is equal."""
        image, text = self.config.image, self.config.text
        return {
            "backbone_fingerprint": self.backbone.fingerprint(),
            **{name: getattr(image, name) for name in ("image_size", "region_layer", "global_layer", "region_grid")},
            "augmentation": image.augmentation,
            "flip_averaging": image.flip_averaging,
            **{
                name: getattr(text, name)
                for name in ("max_words", "max_vocabulary", "min_count", "oov_buckets", "embeddings", "added_words")
            },
        }

    def _preprocessor_of(self, words: list[str]) -> TextPreprocessor:
        return TextPreprocessor(words, self.config.text.max_words, self.config.text.oov_buckets)

    def _features(self, records: RecordSplit) -> FrozenFeatures:
        return cached_features(self.data, records, self.config.image, self.backbone, self.progress)


def _word_ids(texts: list[str], preprocess: TextPreprocessor) -> np.ndarray:
    """Return the ids (N, T) of texts' words."""
    batches = (texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH))
    return np.concatenate([preprocess(tf.constant(batch))["word_ids"].numpy() for batch in batches])
