"""What an export holds."""

from dataclasses import dataclass
from typing import Literal

from dafsn_tf.data.items import SPLITS
from dafsn_tf.errors import ExportError
from dafsn_tf.retrieval.encoder import MAX_PIXELS
from dafsn_tf.retrieval.index import CANDIDATES

Part = Literal["text", "image"]
ALL_SPLITS = "all"


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
        split: of the collection that is indexed along: "all" of it, or one split's name.
        license: of the exported model, for its card.
        candidates: of a query, the nearest by the sentence score, which the fused score ranks again; as many as the
            collection has rank all by it. More take more time a query.

    Raises:
        ExportError: a number below 1; a split that no collection has.
    """

    only: Part | None = None
    float16: bool = False
    max_pixels: int = MAX_PIXELS
    top_k: int = 10
    split: str = ALL_SPLITS
    license: str = ""
    candidates: int = CANDIDATES

    def __post_init__(self) -> None:
        for name in ("max_pixels", "top_k", "candidates"):
            if getattr(self, name) < 1:
                raise ExportError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.split not in (ALL_SPLITS, *SPLITS):
            raise ExportError(
                f"The split to index is '{self.split}'; name {ALL_SPLITS}, {', '.join(SPLITS[:-1])} or {SPLITS[-1]}."
            )
