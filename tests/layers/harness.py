"""What every layer of ours must do, checked by one call."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf


def leaves(outputs: Any) -> list[Any]:
    return list(tf.nest.flatten(outputs))


def _waves(value: Any) -> Any:
    """Return uneven weights, so that no gradient vanishes by symmetry."""
    return tf.reshape(tf.cos(tf.cast(tf.range(tf.size(value)), tf.float32)), tf.shape(value))


def check_layer(make: Any, inputs: tuple[Any, ...], *, jit: bool = True) -> None:
    """Round trip of the configuration, gradient in every variable, mixed precision finite, unknown batch, jit."""
    keras.utils.set_random_seed(0)
    layer = make(dtype="float32")
    outputs = [value.numpy() for value in leaves(layer(*inputs))]

    copy = type(layer).from_config(layer.get_config())
    copy(*inputs)
    copy.set_weights(layer.get_weights())
    for ours, theirs in zip(outputs, leaves(copy(*inputs)), strict=True):
        np.testing.assert_array_equal(ours, theirs)

    with tf.GradientTape() as tape:
        floats = [value for value in leaves(layer(*inputs)) if value.dtype.is_floating]
        loss = tf.add_n([tf.reduce_sum(value * _waves(value)) for value in floats])
    if layer.trainable_variables:
        for variable, gradient in zip(
            layer.trainable_variables, tape.gradient(loss, [v.value for v in layer.trainable_variables]), strict=True
        ):
            assert gradient is not None, variable.path
            assert np.any(tf.convert_to_tensor(gradient).numpy() != 0), variable.path

    mixed = make(dtype="mixed_bfloat16")
    for value in leaves(mixed(*inputs)):
        if value.dtype.is_floating:
            assert np.isfinite(tf.cast(value, tf.float32).numpy()).all()

    specs = tf.nest.map_structure(lambda value: tf.TensorSpec([None, *value.shape[1:]], value.dtype), inputs)
    for options in ({}, {"jit_compile": True}) if jit else ({},):
        graph = tf.function(lambda *values: layer(*values), input_signature=specs, **options)
        for ours, theirs in zip(outputs, leaves(graph(*inputs)), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
