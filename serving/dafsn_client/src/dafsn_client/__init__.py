"""The client of a DAFSN model behind TensorFlow Serving, without TensorFlow."""

from dafsn_client.aio import AsyncClient
from dafsn_client.attention import WordAttention, word_attention
from dafsn_client.client import Client
from dafsn_client.errors import (
    Cancelled,
    ClientError,
    DeadlineExceeded,
    FailedPrecondition,
    InputError,
    InvalidInput,
    NotFound,
    ProtocolError,
    ResourceExhausted,
    RowError,
    ServerError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from dafsn_client.results import (
    ImageFeatures,
    SearchResult,
    Signature,
    Similarity,
    TensorInfo,
    TextFeatures,
    VersionStatus,
    WordRelevance,
)
from dafsn_client.tls import TLS

__all__ = [
    "TLS",
    "AsyncClient",
    "Cancelled",
    "Client",
    "ClientError",
    "DeadlineExceeded",
    "FailedPrecondition",
    "ImageFeatures",
    "InputError",
    "InvalidInput",
    "NotFound",
    "ProtocolError",
    "ResourceExhausted",
    "RowError",
    "SearchResult",
    "ServerError",
    "Signature",
    "Similarity",
    "TensorInfo",
    "TextFeatures",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "VersionStatus",
    "WordAttention",
    "WordRelevance",
    "word_attention",
]
