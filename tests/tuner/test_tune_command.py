import json
import os
import signal
import socket
import subprocess
import sys
import time

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


class Started:
    """A command at work, its output in files."""

    def __init__(self, command, folder):
        folder.mkdir()
        self.told, self.found = folder / "stderr", folder / "stdout"
        with self.told.open("w") as told, self.found.open("w") as found:
            self.process = subprocess.Popen(command, stdout=found, stderr=told, env=ENVIRONMENT)

    def lines(self):
        return self.told.read_text().splitlines()

    def wait_for(self, *words, seconds=500):
        """Return the first line of its progress that holds all words."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            for line in self.lines():
                if all(word in line for word in words):
                    return line
            time.sleep(0.05)
        raise AssertionError(f"{words} not in {self.lines()}")


@pytest.mark.slow
def test_a_chief_and_two_workers_of_which_one_is_killed_end_complete(data, tiny, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    out = tmp_path / "out"
    shared = command(data, out, tiny, "--algorithm", "random", "--max-trials", "3", "--chief", address)
    started = []
    try:
        for name, more in (("chief", ["--role", "chief"]), ("killed", []), ("worker", [])):
            started.append(Started([*shared, *more], tmp_path / name))
        chief, killed, worker = started
        number = killed.wait_for("trial ", "begins").split()[1]
        killed.process.send_signal(signal.SIGKILL)
        chief.wait_for(f"trial {number} with it")
        assert worker.process.wait(timeout=500) == 0, worker.lines()
        assert chief.process.wait(timeout=100) == 0, chief.lines()
    finally:
        for each in started:
            each.process.kill()
            each.process.wait()
    trials = json.loads((out / "trials.json").read_text())["trials"]
    assert [trial["status"] for trial in trials] == ["completed"] * 3
    ended = [line.split(":")[0] for line in chief.lines() if line.startswith("trial ")]
    assert sorted(ended) == [f"trial {number}/3" for number in (1, 2, 3)]
    assert "dafsn train --config" in chief.found.read_text()
    assert "the search has ended" in worker.found.read_text()
    assert (out / "best.toml").is_file()
    assert len(list((out / "tensorboard").iterdir())) == 3
    assert not list(out.rglob("*worker-*"))
