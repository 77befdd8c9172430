import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from dafsn_client.command.main import parse
from dafsn_tf.cli import main
from dafsn_tf.cli.main import app
from dafsn_tf.config import load_config
from dafsn_tf.data.prepare import prepare
from dafsn_tf.errors import DafsnError


def dafsn(*arguments, **options):
    command = [sys.executable, "-m", "dafsn_tf.cli.main", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "300"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # the commands are quiet by themselves
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, **options)


def test_help_needs_no_tensorflow():
    script = "import sys; from dafsn_tf.cli import main; print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert finished.stdout.split() == ["False", "False"]
    assert dafsn("--version").stdout == f"dafsn {version('dafsn-tf')}\n"
    commands = dafsn("--help").stdout
    for name in ("prepare", "train", "evaluate", "export", "serve", "query", "demo"):
        assert name in commands


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--data", "absent", "--run", "r", "--config", "shapez"), "Did you mean 'shapes'?"),
        (("train", "--data", "absent", "--run", "r", "--set", "training.epoch=1"), "Did you mean 'epochs'?"),
        (("evaluate", "absent", "--data", "absent"), "absent is not a run folder"),
        (("prepare", "jsonl", "--source", "absent", "--out", "o"), "absent"),
    ],
)
def test_a_users_error_is_one_message(arguments, message, tmp_path):
    finished = dafsn(*arguments, cwd=tmp_path)
    assert finished.returncode == 1
    assert message in finished.stderr
    assert finished.stderr.count("error:") == 1
    assert "absl" not in finished.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate", "absent", "--data", "absent", "--json", "nodir/x.json"), r"--json nodir/x\.json .* no folder"),
        (("evaluate", "absent", "--data", "absent", "--attention", "."), r"--attention \. is a folder"),
        (("export", "absent", "--to", "file"), "--to file is a file"),
        (("train", "--data", "absent", "--run", "file"), "run folder file cannot be made: file is a file"),
        (("train", "--data", "absent", "--run", "r", "--config", "file"), "file cannot be read as a TOML file"),
    ],
)
def test_what_could_not_be_written_is_refused_before_any_work(arguments, message, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"\xff")
    monkeypatch.chdir(tmp_path)
    finished = CliRunner().invoke(app, arguments)
    assert isinstance(finished.exception, DafsnError)
    assert re.search(message, str(finished.exception)), finished.exception


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--data", "absent", "--run", "r"),
        ("tune", "--data", "absent", "--out", "o"),
        ("evaluate", "absent", "--data", "absent"),
        ("evaluate", "shapes", "--data", "absent"),
        ("export", "absent"),
        ("report", "shapes", "absent", "--data", "absent", "--out", "o"),
        ("compare", "--data", "absent", "--out", "o"),
        ("ablate", "--data", "absent", "--out", "o"),
        ("demo", "--images", "absent"),
    ],
)
def test_a_mistyped_folder_is_told_before_tensorflow_is_imported(arguments, tmp_path):
    program = (
        "import sys\nfrom dafsn_tf.cli import main\ntry:\n    main.main()\nfinally:\n"
        "    print('tensorflow' in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 1
    assert "absent" in finished.stderr
    assert finished.stdout.strip() == "False"
    assert not list(tmp_path.iterdir())


def test_a_collection_without_boxes_has_no_pointing_game_and_hears_so_first(jsonl_source, tmp_path):
    source = jsonl_source([{"image": f"{number}.png", "texts": ["a dog"]} for number in range(4)])
    prepare("jsonl", source, tmp_path / "data")
    file = str(tmp_path / "attention.json")
    finished = CliRunner().invoke(app, ("evaluate", "shapes", "--data", str(tmp_path / "data"), "--attention", file))
    assert "which noun names which box; these have none" in str(finished.exception)


def test_an_error_of_the_system_is_one_message(monkeypatch, capsys):
    def full():
        raise OSError(28, "No space left on device", "runs/mine/metrics.csv")

    monkeypatch.setattr(main, "app", full)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: [Errno 28] No space left on device: 'runs/mine/metrics.csv'\n"


def test_train_without_prepared_data_says_what_to_run(tmp_path):
    finished = dafsn("train", "--data", tmp_path / "nothing", "--run", tmp_path / "run")
    assert finished.returncode == 1
    assert "dafsn prepare" in finished.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_of_an_earlier_version_goes_on_by_its_own_configuration(shapes_data, tmp_path, monkeypatch):
    """What such a run's file does not name was off; a file of one's own stands over the preset default."""
    text = load_config("default").to_toml().replace("querybank_size = 128\n", "").replace("min_steps = 1200\n", "")
    for name in ("run/config.toml", "mine.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    given = []
    monkeypatch.setattr("dafsn_tf.training.train", lambda config, *_, **options: given.append(config))
    for config in ("run/config.toml", "mine.toml"):
        arguments = ["train", "--data", str(shapes_data), "--run", str(tmp_path / "run"), "--resume"]
        assert CliRunner().invoke(app, [*arguments, "--config", str(tmp_path / config)]).exit_code == 0
    sizes = [(config.model.querybank_size, config.training.min_steps) for config in given]
    assert sizes[0] == (0, 0)
    assert sizes[1][0] == 128


@pytest.mark.parametrize("readme", ["README.md", "serving/dafsn_client/README.md"])
def test_the_readmes_commands_parse(readme):
    """Every `dafsn` and `dafsn-client` line of a README names a command and options that exist."""
    text = (Path(__file__).parents[2] / readme).read_text().replace("\\\n", " ")  # a command over several lines
    lines = [line.split(" <")[0] for line in text.splitlines() if line.startswith(("dafsn ", "dafsn-client "))]
    assert len(lines) >= 7
    commands = get_command(app).commands
    for line in lines:
        program, name, *arguments = shlex.split(line, comments=True)
        if program == "dafsn" and name != "query":
            assert commands[name].make_context(name, arguments).params, line
        else:
            assert parse([name, *arguments]), line
