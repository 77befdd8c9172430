import json
import os
import signal
import subprocess
import sys

import pytest

PROGRAM = [sys.executable, "-m", "dafsn_tf.cli.main", "tune"]
ENVIRONMENT = {**os.environ, "PYTHONUNBUFFERED": "1"}


def command(data, out, tiny, *more):
    toy = [part for override in tiny for part in ("--set", override)]
    return [*PROGRAM, "--config", "shapes", "--data", str(data), "--out", str(out), *toy, *more]


def test_a_mistake_is_one_message_and_leaves_nothing(data, tiny, tmp_path):
    done = subprocess.run(
        command(data, tmp_path / "out", tiny, "--algorithm", "genetic"), capture_output=True, text=True, env=ENVIRONMENT
    )
    assert done.returncode == 1
    assert "There is no algorithm 'genetic'. Known: random, bayesian, hyperband, grid." in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_killed_search_goes_on_and_repeats_no_finished_trial(data, tiny, tmp_path):
    out = tmp_path / "out"
    begun = command(data, out, tiny, "--algorithm", "random", "--max-trials", "3")
    with subprocess.Popen(
        begun, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as first:
        assert first.stderr is not None
        line = next(line for line in first.stderr if line.startswith("trial 1/3"))
        first.send_signal(signal.SIGKILL)
    resumed = subprocess.run([*begun, "--resume"], capture_output=True, text=True, env=ENVIRONMENT)
    assert resumed.returncode == 0, resumed.stderr
    assert not any(other.startswith("trial 1/3") for other in resumed.stderr.splitlines())
    assert any(other.startswith("trial 3/3") for other in resumed.stderr.splitlines())
    trials = json.loads((out / "trials.json").read_text())["trials"]
    assert [trial["status"] for trial in trials] == ["completed"] * 3
    assert f"validation {trials[0]['validation']:.3f}" in line
    assert "dafsn train --config" in resumed.stdout
