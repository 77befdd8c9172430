"""Which way up a JPEG is: cameras store what their sensor saw, and how to turn it in EXIF data (CIPA DC-008, 4.6.5)."""

import tensorflow as tf

_REACH = 1 << 17  # bytes from the beginning in which EXIF data are looked for; a segment before them has 65,535 at most
_MOST_SEGMENTS = 16  # before them
_ENTRY = 12  # bytes of a field: tag, type, count, value
_TAG, _SHORT = 0x0112, 3


def read_orientation(data: tf.Tensor) -> tf.Tensor:
    """Return the EXIF orientation of a JPEG (scalar string), int32 of 1 to 8; 1 where it says none, or nonsense."""
    content = tf.io.decode_raw(tf.strings.substr(data, 0, _REACH), tf.uint8, fixed_length=_REACH)

    def bytes_at(place: tf.Tensor, length: int) -> tf.Tensor:
        return tf.cast(tf.slice(content, [tf.minimum(place, _REACH - length)], [length]), tf.int32)

    def is_text(place: tf.Tensor, text: bytes) -> tf.Tensor:
        return tf.reduce_all(bytes_at(place, len(text)) == list(text))

    def is_exif(place: tf.Tensor) -> tf.Tensor:
        return is_text(place, b"\xff\xe1") & is_text(place + 4, b"Exif\0\0")

    def is_another(place: tf.Tensor) -> tf.Tensor:
        marker = bytes_at(place, 2)
        is_application = (marker[1] >= 0xE0) & (marker[1] <= 0xEF) | (marker[1] == 0xFE)
        return (marker[0] == 0xFF) & is_application & (place < _REACH) & ~is_exif(place)

    def behind(place: tf.Tensor) -> tuple[tf.Tensor]:
        return (place + 2 + tf.reduce_sum(bytes_at(place + 2, 2) * [256, 1]),)

    (place,) = tf.while_loop(is_another, behind, (tf.constant(2),), maximum_iterations=_MOST_SEGMENTS)

    def read() -> tf.Tensor:
        begin = place + 10
        places = tf.where(is_text(begin, b"II"), [0, 8], [8, 0])  # bits that two bytes in a row stand for

        def numbers(pairs: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(tf.bitwise.left_shift(pairs, places), axis=-1)

        # Fields begin at an offset of four bytes; of one beyond the reach, two bytes say so.
        halves = numbers(tf.reshape(bytes_at(begin + 4, 4), [2, 2]))
        low, high = tf.unstack(tf.where(places[0] == 0, halves, halves[::-1]))
        fields = tf.where(high > 0, _REACH, begin + low)
        count = tf.minimum(numbers(bytes_at(fields, 2)), tf.maximum(_REACH - 2 - fields, 0) // _ENTRY)
        entries = tf.slice(content, [tf.minimum(fields + 2, _REACH)], [_ENTRY * count])
        entries = tf.cast(tf.reshape(entries, [count, _ENTRY // 2, 2]), tf.int32)
        tags, types, values = (numbers(entries[:, column]) for column in (0, 1, 4))
        return tf.reduce_max(tf.where((tags == _TAG) & (types == _SHORT), values, 0))

    found = tf.cond(is_exif(place), read, lambda: tf.constant(1))
    return tf.where((found >= 1) & (found <= 8), found, 1)


def turn_upright(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Return pixels (H, W, 3) as they are to be seen; H and W change places for an orientation above 4."""

    def turned() -> tf.Tensor:
        swapped = tf.cond(orientation > 4, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)

        def mirrored(axis: int, orientations: list[int]) -> tf.Tensor:
            return tf.cond(tf.reduce_any(orientation == orientations), lambda: tf.reverse(image, [axis]), lambda: image)

        image = swapped
        image = mirrored(0, [3, 4, 7, 8])
        return mirrored(1, [2, 3, 6, 7])

    return tf.cond(orientation > 1, turned, lambda: pixels)
