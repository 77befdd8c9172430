import subprocess
import sys
from pathlib import Path

import pytest

from dafsn_tf.data.prepare import prepare

EXAMPLE = Path(__file__).parents[2] / "examples" / "tune.py"


@pytest.mark.slow
def test_the_example_runs_at_toy_size(tiny, tmp_path):
    from dafsn_tf.data.sources import shapes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes.read, "__defaults__", (0, {"train": 40, "validation": 10, "test": 12}))
        prepare("shapes", None, tmp_path / "data")
    toy = [part for override in tiny for part in ("--set", override)]
    command = [sys.executable, str(EXAMPLE), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--config", "shapes", "--trials", "2", *toy], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert "test MAP@all" in done.stdout
