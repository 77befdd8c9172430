import typer
from typer.testing import CliRunner

from dafsn_tf import baselines
from dafsn_tf.baselines import Comparison
from dafsn_tf.cli.ablate import ablate
from dafsn_tf.cli.compare import Lists
from dafsn_tf.errors import ConfigError

app = typer.Typer()
app.command(cls=Lists)(ablate)


def test_arguments_reach_the_ablations_and_what_is_missing_is_printed(monkeypatch):
    calls = []

    def instead(data, out, **options):
        calls.append({"data": [str(folder) for folder in data], "out": str(out), **options})
        return Comparison([], ["k_3 on toy-1234, seed 2"], [])

    monkeypatch.setattr(baselines, "ablate", instead)
    monkeypatch.setattr("dafsn_tf.cli.ablate.check_inputs", lambda data: None)
    command = "--data a b --config pascal_sentence --seeds 0 1 2 --only full k_3 --out o"
    command += " --set model.dim=64 --set loss.gamma3=8"
    result = CliRunner().invoke(app, command.split(), env={"COLUMNS": "300"})
    assert result.exit_code == 0, result.output
    assert "Still missing:\n- k_3 on toy-1234, seed 2" in result.output
    assert CliRunner().invoke(app, ["--data", "a", "--out", "o"]).exit_code == 0
    listed, plain = calls
    assert (listed["data"], listed["seeds"], listed["only"]) == (["a", "b"], [0, 1, 2], ["full", "k_3"])
    full = listed["config"]
    assert (full.loss.label_weight, full.model.dim, full.loss.gamma3) == (5, 64, 8)
    assert (plain["seeds"], plain["only"], plain["config"]) == ((0,), (), None)


def test_values_to_set_need_a_configuration_that_they_change():
    result = CliRunner().invoke(app, ["--data", "a", "--out", "o", "--set", "model.dim=64"])
    assert isinstance(result.exception, ConfigError)
    assert "--config" in str(result.exception)
