"""What the client returns."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TextFeatures:
    """Texts in the aligned space.

    Attributes:
        sentence_features: (N,F) float32, F at least D; the product with `image_features` is what search ranks by first.
        word_features: (N,T,D) float32; zeros where `word_mask` is False.
        word_mask: (N,T) bool.
        word_offsets: (N,T,2) int32, first byte of each word in the text's UTF-8 and the byte after its last.
    """

    sentence_features: np.ndarray
    word_features: np.ndarray
    word_mask: np.ndarray
    word_offsets: np.ndarray


@dataclass(frozen=True)
class ImageFeatures:
    """Images in the aligned space: `image_features` (B,F) float32, `region_features` (B,R,D) float32."""

    image_features: np.ndarray
    region_features: np.ndarray


@dataclass(frozen=True)
class WordRelevance:
    """A word of a text and where in the image it looked."""

    word: str
    start: int  # first byte in the text's UTF-8
    end: int  # byte after its last
    relevance: float  # cosine of the word and what it attends to, [-1, 1]
    x: float  # centre of the region it attends to most, [0, 1] of the width
    y: float  # [0, 1] of the height


@dataclass(frozen=True)
class Similarity:
    """How well a text and an image match, and why.

    Attributes:
        sentence: cosine of both features, [-1, 1]: less, with a querybank, what text and image have with all others.
        word: words-to-regions score.
        fused: the two combined; what search ranks by.
        words: the text's words in order.
        attention: (words,R) float32, each row sums to 1.
        region_centres: (R,2) float32, x and y in [0, 1] of width and height.
    """

    sentence: float
    word: float
    fused: float
    words: list[WordRelevance]
    attention: np.ndarray
    region_centres: np.ndarray


@dataclass(frozen=True)
class SearchResult:
    """One picture that was found (or, searching by image, one text and the picture it belongs to)."""

    id: str
    score: float
    caption: str


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a signature."""

    dtype: str  # "float32", "string", ...
    shape: tuple[int | None, ...] | None  # None for an unknown size; None for an unknown rank


@dataclass(frozen=True)
class Signature:
    """A function of the exported model, by the names of its inputs and outputs."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]


@dataclass(frozen=True)
class VersionStatus:
    """A version of the model as the server sees it; versions that ended stay listed."""

    version: int
    state: str  # START, LOADING, AVAILABLE, UNLOADING or END
    error: str  # why it ended; empty where nothing failed
