"""Words and sentences: embedding, dropout, bidirectional LSTM (DESIGN section 2; AttnGAN, Xu et al., CVPR 2018)."""

from typing import Any

import keras
from keras import ops

from dafsn_tf.layers.feature_pooling import FeaturePooling


@keras.saving.register_keras_serializable("dafsn")
class TextEncoder(keras.layers.Layer):
    """Word features and a sentence feature from word ids.

    Args:
        vocabulary_size: ids in all, padding (0) and out-of-vocabulary ids included.
        dim: D, even; each direction of the LSTM has half of it.
        embedding_dim: width of the word embeddings.
        dropout: share of embedding values dropped in training, [0, 1).
        word_dropout: share of words replaced in training by a random out-of-vocabulary id, [0, 1) (Bowman et al.,
            Generating Sentences from a Continuous Space, CoNLL 2016).
            It is what trains those ids' embeddings, since every training word is in the vocabulary.
        oov_buckets: ids 1 to `oov_buckets` are the out-of-vocabulary ids.
        sentence_pooling: the sentence feature is the "last" state of each direction (AttnGAN), or the "mean", "max"
            (Conneau et al., EMNLP 2017) or "gpo" of the LSTM's outputs (`FeaturePooling`).
        word_features: "lstm": word features are the LSTM's outputs, which know the whole text (AttnGAN); "embedding":
            a linear map of the word's own embedding, which makes words of one text look at different regions.

    Input shape: word ids (N, T) int32, padded with 0 at the end.

    Output shape: dictionary of `word_features` (N, T, D), zero where padded, `word_mask` (N, T) bool and
    `sentence_features` (N, D). Padding enters neither the LSTM nor the pooling.
    """

    def __init__(
        self,
        vocabulary_size: int,
        dim: int = 256,
        embedding_dim: int = 300,
        dropout: float = 0.5,
        word_dropout: float = 0.0,
        oov_buckets: int = 1,
        sentence_pooling: str = "last",
        word_features: str = "lstm",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.dim = dim
        self.embedding_dim = embedding_dim
        self.dropout = dropout
        self.word_dropout = word_dropout
        self.oov_buckets = oov_buckets
        self.sentence_pooling = sentence_pooling
        self.word_features = word_features
        policy = self.dtype_policy
        initializer: Any = keras.initializers.RandomUniform(-0.1, 0.1)
        self.embedding = keras.layers.Embedding(
            vocabulary_size, embedding_dim, embeddings_initializer=initializer, dtype=policy
        )
        self.embedding_dropout = keras.layers.Dropout(dropout, dtype=policy)
        self.lstm = keras.layers.Bidirectional(
            keras.layers.LSTM(dim // 2, return_sequences=True, return_state=True, dtype=policy), dtype=policy
        )
        self.word_projection: Any = keras.layers.Dense(dim, dtype=policy) if word_features == "embedding" else None
        self.word_dropout_seed = keras.random.SeedGenerator()
        self.pooling = None if sentence_pooling == "last" else FeaturePooling(sentence_pooling, dtype=policy)

    def build(self, input_shape: Any) -> None:
        self.embedding.build(input_shape)
        self.lstm.build((*input_shape, self.embedding_dim))
        if self.pooling is not None:
            self.pooling.build((None, None, self.dim))
        if self.word_projection is not None:
            self.word_projection.build((None, None, self.embedding_dim))
        self.built = True

    def call(self, word_ids: Any, training: bool = False) -> dict[str, Any]:
        """Return word and sentence features of (N, T) word ids."""
        word_mask = ops.not_equal(word_ids, 0)
        if training and self.word_dropout:
            word_ids = self._drop_words(word_ids, word_mask)
        embedded = self.embedding_dropout(self.embedding(word_ids), training=training)
        outputs, *states = self.lstm(embedded, mask=word_mask, training=training)
        present = ops.cast(word_mask[..., None], outputs.dtype)
        outputs = outputs * present
        return {
            "word_features": outputs if self.words_know_their_text else self._project_words(embedded, word_mask),
            "word_mask": word_mask,
            "sentence_features": ops.concatenate([states[0], states[2]], axis=-1)  # (h, c) of each direction
            if self.pooling is None
            else self.pooling(outputs, word_mask),
        }

    @property
    def words_know_their_text(self) -> bool:
        """Whether a word's features depend on the text around it; where not, `embed_words` gives them."""
        return self.word_projection is None

    def embed_words(self, word_ids: Any) -> Any:
        """Return word features (N, T, D) of word ids (N, T), as `call` does where words do not know their text."""
        return self._project_words(self.embedding(word_ids), ops.not_equal(word_ids, 0))

    def _project_words(self, embedded: Any, word_mask: Any) -> Any:
        return self.word_projection(embedded) * ops.cast(word_mask[..., None], embedded.dtype)

    def _drop_words(self, word_ids: Any, word_mask: Any) -> Any:
        shape = ops.shape(word_ids)
        dropped = keras.random.uniform(shape, seed=self.word_dropout_seed) < self.word_dropout
        replacement = keras.random.randint(shape, 1, self.oov_buckets + 1, seed=self.word_dropout_seed)
        return ops.where(ops.logical_and(dropped, word_mask), ops.cast(replacement, word_ids.dtype), word_ids)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "dim": self.dim,
            "embedding_dim": self.embedding_dim,
            "dropout": self.dropout,
            "word_dropout": self.word_dropout,
            "oov_buckets": self.oov_buckets,
            "sentence_pooling": self.sentence_pooling,
            "word_features": self.word_features,
        }
