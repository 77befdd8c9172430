"""Every signature of an export: answers over gRPC are those of a session over the same folder."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class Export:
    """A served export of DAFSN."""

    server: Asker
    name: str
    folder: Path | None  # of the version; None where only the server has it
    signatures: dict[str, Any]  # as its metadata list them

    def inputs(self, signature: str) -> list[str]:
        """Return the names of a signature's inputs; skip the test where the export does not hold it."""
        if signature not in self.signatures:
            pytest.skip(f"{self.name} was exported without {signature}")
        return sorted(self.signatures[signature].inputs)

    def answers(self, signature: str, rows: slice = slice(None)) -> dict[str, np.ndarray]:
        """Return the outputs for some of `ROWS`."""
        inputs = {key: ROWS[key][rows] for key in self.inputs(signature)}
        outputs = self.server.predict(signature, name=self.name, timeout=120, **inputs).outputs
        return {key: tf.make_ndarray(value) for key, value in outputs.items()}


@pytest.fixture(scope="module")
def export(request, target):
    if os.environ.get("CONFORMANCE_TARGET") and not os.environ.get("CONFORMANCE_MODELS"):
        name, folder = request.getfixturevalue("model"), None
    else:
        from dafsn_tf.export import ExportOptions, export_run

        served = request.getfixturevalue("served")
        data, run = request.getfixturevalue("tiny_run")
        name, folder = "tiny", export_run(run, served.here / "tiny", data=data, options=ExportOptions(top_k=3))
        request.getfixturevalue("server").reload(served.config("toy"), served.config(name))
    with unlimited(target) as channel:
        server = Asker(channel)
        yield Export(server, name, folder, server.signatures(name))


@pytest.mark.parametrize("signature", SIGNATURES)
def test_rows_that_cannot_be_used_have_a_status_and_their_neighbours_an_answer(export, signature):
    outputs = export.answers(signature)
    statuses = [STATUS[name] for name in ("texts", "images") if name in export.inputs(signature)]
    assert outputs["status"].tolist() == [next(filter(None, row), 0) for row in zip(*statuses, strict=True)]
    assert {len(values) for values in outputs.values()} == {5}
    for values in outputs.values():
        if values.dtype.kind == "f":
            assert np.isfinite(values).all()


@pytest.mark.parametrize("signature", SIGNATURES)
def test_rows_alone_are_answered_as_in_company(export, signature):
    together = export.answers(signature)
    for row in (0, 2):
        alone = export.answers(signature, slice(row, row + 1))
        for key, values in alone.items():
            assert_same(values[0], together[key][row], key)


@pytest.mark.parametrize("signature", SIGNATURES)
def test_answers_are_those_of_a_session(export, signature):
    if export.folder is None:
        pytest.skip("needs MODELS=HERE[:THERE], a folder that the server sees too")
    outputs = export.answers(signature)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        held = tf.compat.v1.saved_model.load(session, ["serve"], str(export.folder)).signature_def[signature]
        feeds = {info.name: np.array(encoded(key), object) for key, info in held.inputs.items()}
        expected = session.run({key: info.name for key, info in held.outputs.items()}, feeds)
    assert set(outputs) == set(expected)
    for key, values in expected.items():
        assert_same(outputs[key], values, key)


def test_metadata_describe_rows(export):
    assert "serving_default" in export.signatures
    if export.folder:
        assert set(SIGNATURES) <= set(export.signatures), "this suite's own export holds them all"
    for signature in set(SIGNATURES) & set(export.signatures):
        described = export.signatures[signature]
        assert set(described.inputs) <= set(ROWS)
        for info in (*described.inputs.values(), *described.outputs.values()):
            assert info.tensor_shape.dim[0].size == -1


def encoded(name):
    return [row.encode() if isinstance(row, str) else row for row in ROWS[name]]


def assert_same(found, expected, name):
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5, err_msg=name)
    else:
        np.testing.assert_array_equal(found, expected, err_msg=name)
