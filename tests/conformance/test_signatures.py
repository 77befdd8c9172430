"""Every signature of an export: answers over gRPC are those of a session over the same folder."""

import os

import numpy as np
import pytest
import tensorflow as tf
from protocol import Asker, unlimited

SIGNATURES = ("serving_default", "encode_text", "encode_image", "similarity", "search", "search_by_image")


def picture(side, kind="png"):
    noise = np.random.default_rng(side).integers(0, 256, (side, side + 8, 3), "uint8")
    return (tf.io.encode_png if kind == "png" else tf.io.encode_jpeg)(noise).numpy()


ROWS = {
    "texts": ["a large red star above a ring", "ein gr\u00fcner Kreis", "", "...", "star " * 50],
    "images": [picture(96), picture(40, "jpeg"), b"", b"no picture", picture(64)[:300]],
}
STATUS = {"texts": [0, 0, 1, 1, 0], "images": [0, 0, 10, 11, 14]}


@pytest.fixture(scope="module")
def export(request, target):
    """(Asker, name, folder) of an export; the folder is None where only the server has it."""
    if os.environ.get("CONFORMANCE_TARGET") and not os.environ.get("CONFORMANCE_MODELS"):
        name, folder = os.environ.get("CONFORMANCE_MODEL") or "dafsn", None
    else:
        from dafsn_tf.export import ExportOptions, export_run

        served = request.getfixturevalue("served")
        data, run = request.getfixturevalue("tiny_run")
        name, folder = "tiny", export_run(run, served.here / "tiny", data=data, options=ExportOptions(top_k=3))
        request.getfixturevalue("server").reload(served.config("toy"), served.config(name))
    with unlimited(target) as channel:
        yield Asker(channel), name, folder


@pytest.mark.parametrize("signature", SIGNATURES)
def test_rows_that_cannot_be_used_have_a_status_and_their_neighbours_an_answer(export, signature):
    server, name, _ = export
    outputs = answers(server, name, signature)
    statuses = [STATUS[name] for name in inputs_of(signature)]
    assert outputs["status"].tolist() == [next(filter(None, row), 0) for row in zip(*statuses, strict=True)]
    assert {len(values) for values in outputs.values()} == {5}
    for values in outputs.values():
        if values.dtype.kind == "f":
            assert np.isfinite(values).all()


@pytest.mark.parametrize("signature", SIGNATURES)
def test_rows_alone_are_answered_as_in_company(export, signature):
    server, name, _ = export
    together = answers(server, name, signature)
    for row in (0, 2):
        alone = answers(server, name, signature, slice(row, row + 1))
        for key, values in alone.items():
            assert_same(values[0], together[key][row], key)


@pytest.mark.parametrize("signature", SIGNATURES)
def test_answers_are_those_of_a_session(export, signature):
    server, name, folder = export
    if folder is None:
        pytest.skip("needs MODELS=HERE[:THERE], a folder that the server sees too")
    outputs = answers(server, name, signature)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        held = tf.compat.v1.saved_model.load(session, ["serve"], str(folder)).signature_def[signature]
        feeds = {info.name: np.array(encoded(key), object) for key, info in held.inputs.items()}
        expected = session.run({key: info.name for key, info in held.outputs.items()}, feeds)
    assert set(outputs) == set(expected)
    for key, values in expected.items():
        assert_same(outputs[key], values, key)


def test_metadata_list_the_signatures(export):
    from tensorflow_serving.apis import get_model_metadata_pb2

    server, name, _ = export
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert server.metadata("signature_def", name=name).metadata["signature_def"].Unpack(signatures)
    assert set(SIGNATURES) <= set(signatures.signature_def)
    for signature in SIGNATURES:
        described = signatures.signature_def[signature]
        assert set(described.inputs) == set(inputs_of(signature))
        for info in (*described.inputs.values(), *described.outputs.values()):
            assert info.tensor_shape.dim[0].size == -1


def inputs_of(signature):
    both = {"similarity": ("texts", "images")}
    return both.get(signature, ("images",) if "image" in signature else ("texts",))


def encoded(name):
    return [row.encode() if isinstance(row, str) else row for row in ROWS[name]]


def answers(server, name, signature, rows=slice(None)):
    inputs = {key: ROWS[key][rows] for key in inputs_of(signature)}
    outputs = server.predict(signature, name=name, timeout=120, **inputs).outputs
    return {key: tf.make_ndarray(value) for key, value in outputs.items()}


def assert_same(found, expected, name):
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5, err_msg=name)
    else:
        np.testing.assert_array_equal(found, expected, err_msg=name)
