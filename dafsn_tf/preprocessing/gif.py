"""The first frame of a GIF: its decoder expands every frame there is, each as large as its own descriptor says."""

import tensorflow as tf

_SCREEN = 13  # bytes of the signature and the logical screen's descriptor
_DESCRIPTOR = 10  # bytes of a frame's: a comma, left, top, width, height (two bytes each), flags


def frame_size(data: tf.Tensor) -> tf.Tensor:
    """Return width and height (2,), int64, of the first frame of a GIF (scalar string).

    Raises:
        InvalidArgumentError: there is no frame where one must be (in graph, as decoders raise).
    """
    content = tf.io.decode_raw(data, tf.uint8)
    sides = tf.cast(tf.gather(content, _frame_place(content) + tf.range(5, 9)), tf.int64)
    return sides[::2] + 256 * sides[1::2]


def first_frame(data: tf.Tensor) -> tf.Tensor:
    """Return a GIF (scalar string) without its second frame and all that follows.

    Raises:
        InvalidArgumentError: as `frame_size`; the first frame has no end.
    """
    content = tf.io.decode_raw(data, tf.uint8)
    place = _frame_place(content) + _DESCRIPTOR
    place += _bytes_of_colors(tf.gather(content, place - 1)) + 1  # the byte before a frame's blocks is the code size
    end = _skip_blocks(content, place, inside=True)
    return tf.strings.join([tf.strings.substr(data, 0, end), ";"])


def _frame_place(content: tf.Tensor) -> tf.Tensor:
    """Return where the first frame's descriptor begins, behind the global colours and any extensions."""
    place = _skip_blocks(content, _SCREEN + _bytes_of_colors(tf.gather(content, 10)), inside=False)
    with tf.control_dependencies([tf.debugging.Assert(tf.gather(content, place) == ord(","), ["GIF without frame"])]):
        return tf.identity(place)


def _bytes_of_colors(flags: tf.Tensor) -> tf.Tensor:
    """Return how long the table of colours is that flags announce."""
    colors = tf.bitwise.left_shift(2, tf.cast(tf.bitwise.bitwise_and(flags, 7), tf.int32))
    return tf.where(flags >= 128, 3 * colors, 0)


def _skip_blocks(content: tf.Tensor, place: tf.Tensor, inside: bool) -> tf.Tensor:
    """Return the place behind a frame's blocks (`inside`) and any extensions.

    A block is a byte that says how many follow; an empty one ends a frame and an extension. An extension begins with
    an exclamation mark, a label and a block after which, as its decoder reads, there is another even if it is empty.
    """

    def goes_on(place: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
        return inside | (tf.gather(content, place) == ord("!"))

    def skip_block(place: tf.Tensor, inside: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        place += tf.where(inside, 0, 2)
        length = tf.cast(tf.gather(content, place), tf.int32)
        return place + 1 + length, ~inside | (length > 0)

    # Blocks are 255 bytes long, all but the last. Shorter ones throughout would cost a step for every few bytes.
    steps = 1024 + tf.size(content) // 64
    place, inside = tf.while_loop(goes_on, skip_block, (place, tf.constant(inside)), maximum_iterations=steps)
    with tf.control_dependencies([tf.debugging.Assert(~inside, ["GIF of too many blocks"])]):
        return tf.identity(place)
