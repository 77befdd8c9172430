"""The conformance suite with nothing but a target, as serving/deploy/README.md runs it on a deployed export."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dafsn_server.process import running
from dafsn_tf.export import ExportOptions, export_run

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "absent"),
    [(ExportOptions(), "search"), (ExportOptions(only="image"), "encode_text")],
    ids=["no index", "image"],
)
def test_signatures_that_an_export_does_not_hold_are_skipped(tiny_run, tmp_path, options, absent):
    export_run(tiny_run[1], tmp_path / "dafsn", options=options)
    command = [sys.executable, "-m", "pytest", "tests/conformance", "-p", "no:cacheprovider"]
    with running({"dafsn": tmp_path / "dafsn"}) as target:
        environment = {**os.environ, "CONFORMANCE_TARGET": target}
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout
    assert f"dafsn was exported without {absent}\n" in ended.stdout
    assert "test_any_model.py s" not in ended.stdout
