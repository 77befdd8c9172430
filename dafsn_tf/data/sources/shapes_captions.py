"""Captions of the `shapes` scenes: English sentences that are true of the boxes."""

import re
from collections.abc import Sequence

import numpy as np

from dafsn_tf.data.items import Mention
from dafsn_tf.data.sources.shapes_drawing import Figure

CAPTIONS = 5  # captions a scene
_SIZE_WORDS = {"small": ("small", "little", "tiny"), "medium": ("medium",), "large": ("large", "big", "huge")}
_SIZE_SHARE = 0.75  # share of noun phrases that name the size
_COLOUR_SHARE = 0.93  # share that name the colour
_PARTIAL_SHARE = 0.2  # share of captions that leave one object of several out

# [A] a noun phrase, [the A] a noun already introduced, [A@] the part of the picture that holds A,
# [A:B] how A lies to B.
_TEMPLATES: dict[int, tuple[str, ...]] = {
    1: (
        "[A] [A@]",
        "there is [A] [A@]",
        "the picture shows [A] [A@]",
        "[A@] there is [A]",
        "[A] is [A@]",
        "you can see [A] [A@]",
    ),
    2: (
        "[A] [A:B] [B]",
        "there is [A] [A:B] [B]",
        "[A] is [A:B] [B]",
        "[A:B] [B] there is [A]",
        "[B] with [A] [A:B] it",
        "[A] and [B], and the [A=] is [A:B] the [B=]",
        "we see [A] that lies [A:B] [B]",
    ),
    3: (
        "[A] [A:B] [B], and [C] [C:B] the [B=]",
        "[A] is [A:B] [B] and [B:C] [C]",
        "there is [A] [A:B] [B], with [C] [C:A] the [A=]",
        "[B] with [A] [A:B] it and [C] [C:B] it",
        "[A], [B] and [C], and the [A=] is [A:B] the [B=]",
        "[A:B] [B] there is [A], and [C] is [C:B] the [B=]",
        "a scene with [A], [B] and [C]",
    ),
}
