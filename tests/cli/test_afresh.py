import os
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from dafsn_tf import baselines
from dafsn_tf.baselines import Comparison
from dafsn_tf.cli import afresh
from dafsn_tf.cli.ablate import ablate
from dafsn_tf.cli.compare import Lists, compare

SCRIPT = """
import os, sys
from pathlib import Path
from dafsn_tf.cli.afresh import go_on_afresh
from dafsn_tf.cli.quiet import quiet_tensorflow

done = Path(sys.argv[1])
print("before", os.environ.get("TF_CPP_MIN_LOG_LEVEL"), len(sys.argv), os.getpid())
with done.open("a") as lines:
    lines.write("x")
if done.stat().st_size < 3:
    quiet_tensorflow()
    go_on_afresh()
print("end", sys.argv[2])
"""


@pytest.mark.parametrize("level", [None, "1"])
def test_a_fresh_process_has_the_same_command_and_environment_and_goes_on(tmp_path, level):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    if level:
        environment["TF_CPP_MIN_LOG_LEVEL"] = level
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "done"), "a b"]
    lines = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.rsplit(" ", 1)[0] for line in lines[:3]] == [f"before {level} 3"] * 3
    assert len({line.rsplit(" ", 1)[1] for line in lines[:3]}) == 1  # the caller waits for the same process
    assert lines[3:] == ["end a b"]


@pytest.mark.parametrize("command", [compare, ablate])
def test_a_comparison_goes_on_afresh_while_runs_are_left(monkeypatch, command):
    name, limits, left = command.__name__, [], [3, 0]

    def instead(data, out, *, at_most, **options):
        limits.append(at_most)
        return Comparison([], ["x on toy, seed 0"], [], left.pop(0))

    class Replaced(Exception):
        pass

    def replace(*arguments):
        raise Replaced

    monkeypatch.setattr(baselines, name, instead)
    monkeypatch.setattr(f"dafsn_tf.cli.{name}.check_inputs", lambda data: None)
    monkeypatch.setattr(afresh.os, "execve", replace)
    app = typer.Typer()
    app.command(cls=Lists)(command)
    result = CliRunner().invoke(app, ["--data", "a", "--out", "o"])
    assert isinstance(result.exception, Replaced)
    assert "missing" not in result.output  # the table is the last process's
    result = CliRunner().invoke(app, ["--data", "a", "--out", "o"])
    assert result.exit_code == 0
    assert "Still missing:\n- x on toy, seed 0" in result.output
    assert limits == [afresh.MODELS] * 2
