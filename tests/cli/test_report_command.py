from pathlib import Path

from typer.testing import CliRunner

from dafsn_tf.cli.main import app
from dafsn_tf.errors import DataError


def test_everything_is_passed_on(monkeypatch):
    asked = {}

    def write_report(runs, data, out, **options):
        asked.update(runs=runs, data=data, out=out, **options)
        return out / "report.html"

    monkeypatch.setattr("dafsn_tf.reporting.write_report", write_report, raising=False)
    monkeypatch.setattr("dafsn_tf.cli.report.check_inputs", lambda runs, data: None)
    arguments = ["report", "runs/a", "shapes", "--data", "data", "--out", "out", "--peer", "cca", "--peer", "scan"]
    done = CliRunner().invoke(
        app, [*arguments, "--split", "validation", "--projection", "umap", "--weights", "w.h5", "--no-pictures"]
    )
    assert done.output.strip() == "out/report.html"
    assert {name: value for name, value in asked.items() if name != "write"} == {
        "runs": ["runs/a", "shapes"],
        "data": Path("data"),
        "out": Path("out"),
        "split": "validation",
        "peers": ["cca", "scan"],
        "weights": Path("w.h5"),
        "projection": "umap",
        "pictures": False,
    }


def test_a_collection_that_is_not_there(tmp_path):
    done = CliRunner().invoke(app, ["report", "shapes", "--data", str(tmp_path / "data"), "--out", str(tmp_path)])
    assert isinstance(done.exception, DataError)
    assert "Prepare a collection first" in str(done.exception)


def test_no_run_is_no_report():
    done = CliRunner().invoke(app, ["report", "--data", "data", "--out", "out"])
    assert done.exit_code == 2
    assert "runs" in done.output.casefold()
