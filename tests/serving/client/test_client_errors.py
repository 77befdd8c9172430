"""What an error tells to do: from the code, and from what the server's text says beyond it."""

import threading
import time

import grpc
import pytest
from fake_server import Server

from dafsn_client import (
    Cancelled,
    Client,
    DeadlineExceeded,
    InvalidInput,
    ResourceExhausted,
    ServerError,
    Unavailable,
)
from dafsn_server.server import Server as EmbeddedServer

QUEUE_FULL = (
    "The batch scheduling queue to which this task was submitted is full; currently 10 batches enqueued and "
    "max_enqueued_batches is 10"
)


@pytest.mark.parametrize(
    ("code", "details", "kind", "advice"),
    [
        ("UNAVAILABLE", QUEUE_FULL, Unavailable, "The server is overloaded: try again later, or with fewer rows"),
        ("UNAVAILABLE", "Socket closed", Unavailable, "Check the address, that the server runs"),
        (
            "RESOURCE_EXHAUSTED",
            "Run() timeout exceeded while waiting in batching queue",
            ResourceExhausted,
            "The server is overloaded",
        ),
        ("CANCELLED", "stopped", Cancelled, "Ask again; where the client was closed"),
        ("INTERNAL", "broken", ServerError, "failed at this call: its log says why"),
        ("UNKNOWN", "Exception calling application", ServerError, "failed at this call: its log says why"),
        (
            "INVALID_ARGUMENT",
            "Task size 1 is larger than maximum input batch size 8",
            InvalidInput,
            "at most 8 rows in a request: send fewer in a call, or pass `max_rows=8`",
        ),
    ],
)
def test_advice(new, code, details, kind, advice):
    def abort(values, context):
        context.abort(grpc.StatusCode[code], details)

    with Server(abort) as server, new(server.target, retries=0) as client, pytest.raises(kind) as caught:
        client.predict("f", {"x": [1.0]})
    assert caught.value.code.name == code
    assert caught.value.details == details
    assert advice in str(caught.value)
    assert ("agree on TLS" in str(caught.value)) == (details == "Socket closed")


def test_an_unknown_label_is_named_beside_the_versions_there_are(new, target):
    with new(target, label="canary") as client, pytest.raises(InvalidInput) as caught:
        client.encode_text(["a"])
    assert "no version the label 'canary'" in str(caught.value)
    assert "`version_labels`" in str(caught.value)
    assert "Versions of 'dafsn' that the server knows: 2 (AVAILABLE)" in str(caught.value)


@pytest.fixture
def unlabelled(toy_versions):
    with EmbeddedServer({"dafsn": toy_versions}, port=0, host="127.0.0.1") as server:
        yield f"127.0.0.1:{server.port}"


def test_ready_is_when_the_label_answers(new, unlabelled, toy_versions):
    paths = {"dafsn": toy_versions}
    with new(unlabelled, label="stable") as client, Client(unlabelled) as operator:
        with pytest.raises(DeadlineExceeded, match=r"INVALID_ARGUMENT Unrecognized .* label: stable"):
            client.wait_ready(0.5)
        labelling = threading.Timer(0.5, operator.reload_config, [paths, {"dafsn": {"stable": 2}}])
        start = time.monotonic()
        labelling.start()
        assert client.wait_ready(30).version == 2
        assert time.monotonic() - start >= 0.5
        labelling.join()
        assert client.encode_text(["a"]).sentence_features[0, 0] == 2.0
