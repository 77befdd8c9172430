"""Transparent pixels over white: what lies under them is anything, and most viewers show a white page."""

import tensorflow as tf

_BLOCK = 2**16  # pixels at a time: they are widened to 16 bits, which for all at once would take six times their room


def blend_on_white(pixels: tf.Tensor) -> tf.Tensor:
    """Return the colours (H, W, 3), uint8, of pixels (H, W, 4), uint8.

    With alpha a, the last of the four, a colour c becomes (c a + 255 (255 - a)) / 255, rounded.
    """
    flat = tf.reshape(pixels, [-1, 4])
    count = tf.shape(flat)[0]
    blocks = tf.reshape(tf.pad(flat, [[0, -count % _BLOCK], [0, 0]]), [-1, _BLOCK, 4])
    blended = tf.map_fn(_blend, blocks, fn_output_signature=tf.TensorSpec([_BLOCK, 3], tf.uint8))
    colours = tf.reshape(blended, [-1, 3])[:count]
    return tf.reshape(colours, tf.concat([tf.shape(pixels)[:2], [3]], axis=0))


def _blend(block: tf.Tensor) -> tf.Tensor:
    alpha = block[:, 3:]
    product = tf.cast(block[:, :3], tf.uint16) * tf.cast(alpha, tf.uint16) + 128
    # A quotient by 255, rounded, of any number below 2**16, without leaving 16 bits.
    shifted = tf.bitwise.right_shift(product, tf.constant(8, tf.uint16))
    quotient = tf.bitwise.right_shift(product + shifted, tf.constant(8, tf.uint16))
    return tf.cast(quotient, tf.uint8) + (255 - alpha)
