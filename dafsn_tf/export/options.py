"""What an export holds."""

from dataclasses import dataclass
from typing import Literal

from dafsn_tf.errors import ExportError
from dafsn_tf.retrieval.encoder import MAX_PIXELS

Part = Literal["text", "image"]


@dataclass(frozen=True)
class ExportOptions:
    """Choices of an export.

    Attributes:
        only: one side of the model: texts (`encode_text`, `search`) needs no backbone and is small; images
            (`encode_image`, `search_by_image`). None exports both, and `similarity`.
        float16: keep kernels and embeddings in half precision; they are widened to float32 at each request, which costs
            some milliseconds for Inception-v3 and halves the version on disk and in memory.
        max_pixels: width times height above which a picture is answered with a status instead of being decoded.
        top_k: answers to a query.
        split: of the collection that is indexed along.
        license: of the exported model, for its card.

    Raises:
        ExportError: a number below 1.
    """

    only: Part | None = None
    float16: bool = False
    max_pixels: int = MAX_PIXELS
    top_k: int = 10
    split: str = "test"
    license: str = ""

    def __post_init__(self) -> None:
        for name in ("max_pixels", "top_k"):
            if getattr(self, name) < 1:
                raise ExportError(f"{name} is {getattr(self, name)}; it must be at least 1.")
