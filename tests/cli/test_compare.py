import pytest
import typer
from typer.testing import CliRunner

from dafsn_tf import baselines
from dafsn_tf.baselines import Comparison
from dafsn_tf.cli.compare import Lists, compare

app = typer.Typer()
app.command(cls=Lists)(compare)


@pytest.fixture
def asked(monkeypatch):
    calls = []

    def instead(data, out, **options):
        calls.append({"data": [str(folder) for folder in data], "out": str(out), **options})
        return Comparison([], ["scan on toy-1234, seed 2"], [])

    monkeypatch.setattr(baselines, "compare", instead)
    monkeypatch.setattr("dafsn_tf.cli.compare.check_inputs", lambda data: None)
    return calls


def invoke(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "300"})


def test_lists_are_written_one_after_another(asked):
    result = invoke("--data", "a", "b", "--methods", "dafsn", "cca", "--seeds", 0, 1, 2, "--out", "o", "--only", "cca")
    assert result.exit_code == 0, result.output
    (call,) = asked
    assert call["data"] == ["a", "b"]
    assert (call["methods"], call["seeds"], call["only"]) == (["dafsn", "cca"], [0, 1, 2], ["cca"])
    assert call["config"] is None
    assert "Still missing:\n- scan on toy-1234, seed 2" in result.output


def test_all_methods_and_seed_0_are_the_defaults(asked):
    assert invoke("--data", "a", "--out", "o", "--config", "default").exit_code == 0
    (call,) = asked
    assert (call["methods"], call["seeds"], call["only"]) == (baselines.NAMES, (0,), ())
    assert call["config"].model.dim > 0


@pytest.mark.parametrize(
    "arguments", [("--data", "--out", "o"), ("--out", "o"), ("--data", "a", "--out", "o", "--seeds", "x")]
)
def test_what_is_no_command_is_refused(asked, arguments):
    assert invoke(*arguments).exit_code == 2
    assert not asked


def test_help_names_every_method():
    text = " ".join(invoke("--help").output.split())
    for name in baselines.NAMES:
        assert name in text
