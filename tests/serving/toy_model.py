"""A toy SavedModel with the exported model's signatures, and some that misbehave on purpose."""

from pathlib import Path

import tensorflow as tf

DIM, WORDS, REGIONS = 4, 3, 2
_TEN = tf.constant(10.0)


def _rows(name: str) -> tf.TensorSpec:
    return tf.TensorSpec(None, tf.string, name)


class Toy(tf.Module):
    """Answers depend on `scale` alone, so that a caller can tell versions apart."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = tf.Variable(scale)
        self.kernel = tf.Variable([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])

    @tf.function(input_signature=[_rows("texts")])
    def encode_text(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        texts = tf.ensure_shape(texts, [None])
        rows = tf.shape(texts)[0]
        used = tf.strings.length(texts) > 0
        length = tf.cast(tf.strings.length(texts), tf.float32)[:, None]
        return {
            "sentence_features": length * self.scale * tf.ones([1, DIM]),
            "word_features": tf.ones([rows, WORDS, DIM]) * self.scale,
            "word_mask": tf.tile([[True, True, False]], [rows, 1]) & used[:, None],
            "word_offsets": tf.tile([[[0, 3], [4, 8], [0, 0]]], [rows, 1, 1]),
            "status": tf.where(used, 0, 1),
        }

    @tf.function(input_signature=[_rows("images")])
    def encode_image(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        images = tf.ensure_shape(images, [None])
        length = tf.cast(tf.strings.length(images), tf.float32)[:, None]
        return {
            "image_features": length * tf.ones([1, DIM]),
            "region_features": tf.ones([tf.shape(images)[0], REGIONS, DIM]) * length[:, :, None],
            "status": tf.where(tf.strings.length(images) > 0, 0, 10),
        }

    @tf.function(input_signature=[_rows("texts"), _rows("images")])
    def similarity(self, texts: tf.Tensor, images: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.shape(tf.ensure_shape(texts, [None]))[0]
        text = self.encode_text(texts)
        ones = tf.ones([rows])
        return {
            "sentence": 0.25 * ones,
            "word": 0.5 * ones,
            "fused": 0.75 * ones,
            "attention": tf.tile([[[0.25, 0.75], [0.5, 0.5], [0.0, 0.0]]], [rows, 1, 1]),
            "word_relevance": tf.tile([[0.5, -0.25, 0.0]], [rows, 1]),
            "word_mask": text["word_mask"],
            "word_offsets": text["word_offsets"],
            "region_centres": tf.tile([[[0.25, 0.5], [0.75, 0.5]]], [rows, 1, 1]),
            "status": tf.maximum(text["status"], self.encode_image(images)["status"]),
        }

    @tf.function(input_signature=[_rows("texts")])
    def search(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._found(texts, 1)

    @tf.function(input_signature=[_rows("images")])
    def search_by_image(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._found(images, 10)

    def _found(self, queries: tf.Tensor, failure: int) -> dict[str, tf.Tensor]:
        rows = tf.shape(tf.ensure_shape(queries, [None]))[0]
        return {
            "ids": tf.tile([["a.jpg", "b.jpg"]], [rows, 1]),
            "scores": tf.tile([[0.5, 0.25]], [rows, 1]),
            "captions": tf.tile([["a red star", "\u00fcber"]], [rows, 1]),
            "status": tf.where(tf.strings.length(queries) > 0, 0, failure),
        }

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "x")])
    def dense(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.matmul(x, self.kernel) * self.scale, "half": tf.cast(x, tf.float16)}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, "a"), tf.TensorSpec(None, tf.float32, "b")])
    def two(self, a: tf.Tensor, b: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"sum": a + b}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, "a"), tf.TensorSpec(None, tf.float32, "b")])
    def defaulted(self, a: tf.Tensor, b: tf.Tensor = _TEN) -> dict[str, tf.Tensor]:
        return {"sum": a + b}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int8, "x")])
    def small(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"x": tf.identity(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, "x")])
    def guarded(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        tf.debugging.assert_less(x, tf.constant(10, tf.int64), message="too big " * 200)
        return {"x": x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, "turns")])
    def slow(self, turns: tf.Tensor) -> dict[str, tf.Tensor]:
        _, count = tf.while_loop(
            lambda i, _: i < turns[0], lambda i, c: (i + 1, c + 1), [tf.constant(0, tf.int64), turns * 0]
        )
        return {"count": count, "scale": self.scale[None]}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, "x")])
    def wide(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"x": x, "batch": tf.fill(tf.shape(x)[:1], tf.shape(x)[0])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def unbatchable(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"total": tf.reduce_sum(x), "more": tf.concat([x, x], 0)}


def write_version(base_path: Path, number: int, scale: float) -> Path:
    """Write version `number` under a base path, published by renaming; returns its folder."""
    toy = Toy(scale)
    names = ["encode_text", "encode_image", "similarity", "search", "search_by_image"]
    names += ["dense", "two", "defaulted", "small", "guarded", "slow", "wide", "unbatchable"]
    signatures = {name: getattr(toy, name) for name in names}
    hidden = base_path / f".tmp-{number}"
    tf.saved_model.save(toy, str(hidden), {**signatures, "serving_default": toy.encode_text})
    return hidden.rename(base_path / str(number))
