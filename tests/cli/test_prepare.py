import typer
from typer.testing import CliRunner

from dafsn_tf.cli.prepare import prepare
from dafsn_tf.data.records import Manifest
from dafsn_tf.errors import DataError

app = typer.Typer()
app.command()(prepare)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_splits_problems_and_place_are_printed(jsonl_source, tmp_path):
    lines = [{"image": f"{number}.png", "texts": ["A", "B"], "label": "cat"} for number in range(10)]
    source = jsonl_source([*lines, *['{"image": "[red]none.png", "texts": ["A"]}'] * 7])
    result = run("jsonl", "--source", source, "--out", tmp_path / "out", "--seed", 2, "--documents")
    assert result.exit_code == 0
    rows = [
        [cell.strip() for cell in row.split("│")[1:-1]] for row in result.stdout.splitlines() if row.startswith("│")
    ]
    assert rows == [["train", "8", "16", "0"], ["validation", "1", "2", "0"], ["test", "1", "2", "0"]]
    assert result.stdout.splitlines()[0].rstrip() == "animals (classes: 1)"
    assert "Splits: drawn by seed 2: 80/10/10, stratified by class.\n" in result.stdout
    assert "Problem: 7 x missing_image\n" in result.stdout
    place = source / "items.jsonl"
    shown = [f"  {place}:{number}: there is no file '[red]none.png'\n" for number in range(11, 16)]
    assert "".join(shown) + f"  and 2 more in {tmp_path}/out/problems.jsonl\nWritten: {tmp_path}/out\n" in result.stdout
    assert "10/10" in result.stderr
    manifest = Manifest.read(tmp_path / "out")
    assert (manifest.seed, manifest.documents) == (2, True)


def test_errors_reach_the_caller_and_leave_nothing(jsonl_source, tmp_path):
    source = jsonl_source(["not JSON"])
    result = run("jsonl", "--source", source, "--out", tmp_path / "out", "--strict")
    assert isinstance(result.exception, DataError)
    assert "--strict allows none" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_a_source_that_is_not_read_shows_no_bar(tmp_path):
    result = run("flikr8k", "--source", tmp_path, "--out", tmp_path / "out")
    assert isinstance(result.exception, DataError)
    assert result.output == ""


def test_force_replaces(jsonl_source, tmp_path):
    source = jsonl_source([{"image": "1.png", "texts": ["A"]}])
    arguments = ("jsonl", "--source", source, "--out", tmp_path / "out")
    assert run(*arguments).exit_code == 0
    assert isinstance(run(*arguments).exception, DataError)
    assert run(*arguments, "--force").exit_code == 0
