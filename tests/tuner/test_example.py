import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "tune.py"


@pytest.mark.slow
def test_the_example_runs_at_toy_size(shapes_data, tiny, tmp_path):
    toy = [part for override in tiny for part in ("--set", override)]
    command = [sys.executable, str(EXAMPLE), "--data", str(shapes_data), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--config", "shapes", "--trials", "2", *toy], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert "test MAP@all" in done.stdout
