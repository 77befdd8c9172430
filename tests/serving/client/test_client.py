"""The client against the embedded server."""

import threading
import time
from concurrent import futures

import grpc
import numpy as np
import pytest

from dafsn_client import (
    Client,
    DeadlineExceeded,
    InputError,
    InvalidInput,
    NotFound,
    ProtocolError,
    RowError,
    SearchResult,
    Unavailable,
    Unimplemented,
    WordRelevance,
    protocol,
)


def test_encode_text(client):
    features = client.encode_text(["red star", "ring"])
    np.testing.assert_array_equal(features.sentence_features, [[16.0] * 4, [8.0] * 4])
    assert features.word_features.shape == (2, 3, 4)
    assert features.word_mask.tolist() == [[True, True, False]] * 2
    assert features.word_offsets[0].tolist() == [[0, 3], [4, 8], [0, 0]]


def test_encode_image_takes_bytes_and_paths(client, tmp_path):
    (tmp_path / "a.png").write_bytes(b"12345")
    features = client.encode_image([b"123\0", tmp_path / "a.png", str(tmp_path / "a.png")])
    assert features.image_features[:, 0].tolist() == [4, 5, 5]
    assert features.region_features.shape == (3, 2, 4)


def test_similarity_names_the_words_and_where_they_looked(client):
    (answer,) = client.similarity(["red star"], [b"image"])
    assert (answer.sentence, answer.word, answer.fused) == (0.25, 0.5, 0.75)
    assert answer.words == [
        WordRelevance("red", 0, 3, 0.5, 0.75, 0.5),
        WordRelevance("star", 4, 8, -0.25, 0.25, 0.5),
    ]
    assert answer.attention.tolist() == [[0.25, 0.75], [0.5, 0.5]]


def test_search_both_ways(client):
    found = [SearchResult("a.jpg", 0.5, "a red star"), SearchResult("b.jpg", 0.25, "über")]
    assert client.search(["x", "y"]) == [found, found]
    assert client.search_by_image([b"x"]) == [found]


def test_failed_rows_are_named_and_the_others_kept(client):
    with pytest.raises(RowError, match=r"row 1: the text holds no word") as caught:
        client.encode_text(["a", "", "b"])
    assert caught.value.rows == {1: 1}
    assert caught.value.answers.sentence_features[:, 0].tolist() == [2, 0, 2]
    with pytest.raises(RowError, match="row 0: the image has no bytes") as caught:
        client.search_by_image([b"", b"x"])
    assert [len(results) for results in caught.value.answers] == [0, 2]


def test_empty_batches_keep_types_and_inner_shapes(client):
    features = client.encode_text([])
    assert features.sentence_features.shape == (0, 4)
    assert features.word_offsets.shape == (0, 3, 2)
    assert features.word_mask.dtype == bool
    assert client.search([]) == client.search_by_image([]) == client.similarity([], []) == []
    assert client.predict("dense", {"x": np.zeros((0, 2), np.float32)}, outputs=["y"])["y"].shape == (0, 3)


def test_empty_search_needs_no_server():
    with Client("127.0.0.1:1") as nobody:
        assert nobody.search([]) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client: client.search("a red star"), r"write \[text\]"),
        (lambda client: client.encode_image(b"bytes"), r"write \[image\]"),
        (lambda client: client.encode_image(["/no/such.png"]), "/no/such.png cannot be read"),
        (lambda client: client.similarity(["a"], []), "1 texts and 0 images"),
        (lambda client: client.search(["a"], timeout=0), "must be a number of seconds, positive"),
        (lambda client: client.predict("nothing", {"x": []}), "no signature 'nothing'; it has .*dense, encode_image"),
    ],
)
def test_what_cannot_be_sent_is_refused(client, call, message):
    with pytest.raises(InputError, match=message):
        call(client)


def test_predict_any_signature(client):
    outputs = client.predict("dense", {"x": np.float32([[1, 1]])})
    assert outputs["y"].tolist() == [[22, 44, 66]]
    assert outputs["half"].dtype == np.float16
    assert list(client.predict("dense", {"x": np.float32([[1, 1]])}, outputs=["y"])) == ["y"]


def test_metadata_hides_the_loaders_own(client):
    signatures = client.metadata()
    assert "serving_default" in signatures
    assert not any(name.startswith("__") for name in signatures)
    search = signatures["search"]
    assert search.inputs["texts"].dtype == "string"
    assert search.inputs["texts"].shape is None
    assert signatures["encode_text"].outputs["word_features"].shape == (None, 3, 4)


def test_an_unknown_signature_lists_those_there_are(client):
    with pytest.raises(InputError, match=r"no signature 'find'; it has .*dense, encode_image"):
        client.predict("find", {"x": [1.0]})


def test_an_unknown_version_lists_those_there_are(target):
    with Client(target, version=9) as pinned, pytest.raises(NotFound, match=r"Specific\(dafsn, 9\).*2 \(AVAILABLE\)"):
        pinned.search(["x"])


def test_an_unknown_model_is_not_found(target):
    with Client(target, "cats") as stranger, pytest.raises(NotFound, match="Check the model's name"):
        stranger.search(["x"])


def test_version_and_label_together_are_refused():
    with pytest.raises(InputError, match="Both version 1 and label 'stable'"):
        Client("127.0.0.1:1", version=1, label="stable")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"got no input; it takes x: float32\(n, 2\)"),
        ({"z": [[1.0, 2.0]]}, r"got z; it takes x"),
        ({"x": np.zeros((1, 2))}, r"'x' of signature 'dense' is float64\(1, 2\); it takes float32\(n, 2\)"),
        ({"x": [1.0, 2.0]}, r"is float32\(2\); it takes"),
        ({"x": [[1.0, 2.0, 3.0]]}, r"is float32\(1, 3\); it takes"),
        ({"x": [["a", "b"]]}, r"is string\(1, 2\); it takes"),
    ],
)
def test_inputs_are_checked_before_they_travel(client, inputs, message):
    with pytest.raises(InputError, match=message):
        client.predict("dense", inputs)


def test_refused_input_keeps_the_servers_words(client):
    with pytest.raises(InvalidInput, match=r"(?s)Incompatible shapes.*metadata\(\)"):
        client.predict("two", {"a": np.zeros((3, 2), np.float32), "b": np.zeros((2, 2), np.float32)})


def test_the_deadline_holds(client):
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="allow more time"):
        client.predict("slow", {"turns": [10**9]}, timeout=0.3)
    assert time.monotonic() - started < 2


def test_no_server_is_retried_then_told():
    with Client("127.0.0.1:1", retries=2) as nobody:
        started = time.monotonic()
        with pytest.raises(Unavailable, match=r"GetModelMetadata at 127\.0\.0\.1:1: .*Check the address"):
            nobody.search(["x"])
        assert 0.15 < time.monotonic() - started < 5


def test_wait_ready(client, target):
    assert client.wait_ready(5).version == 2
    with (
        Client(target, "cats") as stranger,
        pytest.raises(DeadlineExceeded, match="last seen: NOT_FOUND Could not find"),
    ):
        stranger.wait_ready(0.3)


class FakeServer:
    """Answers Predict with what it is told to."""

    def __init__(self, behaviour):
        self.calls = 0
        self._behaviour = behaviour
        self._server = grpc.server(futures.ThreadPoolExecutor(2), options=[("grpc.max_send_message_length", -1)])
        handler = grpc.unary_unary_rpc_method_handler(self._predict)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", {"Predict": handler}),)
        )
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def _predict(self, request, context):
        self.calls += 1
        return self._behaviour(self.calls, context)

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *_):
        self._server.stop(None).wait()


def answer_of(**outputs):
    response = protocol.PredictResponse()
    for name, content in outputs.items():
        response.outputs[name].dtype = 1
        response.outputs[name].tensor_shape.dim.add(size=len(content) // 4)
        response.outputs[name].float_val.append(content)
    return response.SerializeToString()


def test_unavailable_is_tried_again_within_the_deadline():
    def behaviour(call, context):
        if call < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "queue full")
        return answer_of(y=b"\0\0\x80\x3f")

    with FakeServer(behaviour) as server, Client(server.target) as client:
        assert client.predict("f", {"x": [1.0]})["y"].tolist() == [1.0]
        assert server.calls == 3


def test_other_statuses_are_not_tried_again():
    with FakeServer(lambda call, context: context.abort(grpc.StatusCode.INTERNAL, "broken")) as server:
        with Client(server.target) as client, pytest.raises(Exception, match=r"broken \[INTERNAL\]"):
            client.predict("f", {"x": [1.0]})
        assert server.calls == 1


def test_answers_over_grpcs_default_limit_arrive():
    with FakeServer(lambda *_: answer_of(y=bytes(8 << 20))) as server, Client(server.target) as client:
        assert client.predict("f", {"x": [1.0]})["y"].shape == (2 << 20,)


def test_an_answer_of_another_model_is_named():
    with FakeServer(lambda *_: answer_of(y=bytes(4))) as server, Client(server.target) as client:
        with pytest.raises(ProtocolError, match="no output 'ids', only y"):
            client.search(["x"])
        with pytest.raises(Unimplemented, match="REST"):
            client.status()


def test_one_client_serves_many_threads(target):
    client = Client(target)
    texts = [f"{'x' * length}" for length in range(1, 9)]
    found = {}

    def ask(text):
        found[text] = float(client.encode_text([text]).sentence_features[0, 0])

    threads = [threading.Thread(target=ask, args=[text]) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {text: 2.0 * len(text) for text in texts}
