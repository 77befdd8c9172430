"""A peer's cosines are held against a bank by the code that holds DAFSN's."""

import json
import sys

import numpy as np
import pytest

import peers_querybank
from dafsn_tf import baselines

pytestmark = pytest.mark.usefixtures("colour_backbone")


@pytest.fixture(scope="module")
def comparison(prepared, config, tmp_path_factory):
    """A collection, the folder of a comparison with CCA's run on it, and the configuration's file."""
    data, out = prepared(), tmp_path_factory.mktemp("comparison")
    baselines.compare([data], out, methods=["dafsn", "cca"], only=["cca"], config=config, write=lambda line: None)
    file = out / "config.toml"
    file.write_text(config.to_toml())
    return data, out, file


def call(monkeypatch, data, out, config, method="cca"):
    words = ["peers_querybank.py", str(data), str(out), "--config", str(config), "--methods", method]
    monkeypatch.setattr(sys, "argv", words)
    peers_querybank.main()


def test_each_run_has_one_with_a_querybank_that_is_made_once(comparison, monkeypatch, capsys):
    data, out, config = comparison
    call(monkeypatch, data, out, config)
    (file,) = out.glob("cca_with_querybank-*.json")
    assert str(file) in capsys.readouterr().out
    plain, held = (json.loads(path.read_text()) for path in (next(out.glob("cca-*.json")), file))
    assert held["method"] == "cca_with_querybank"
    assert held["inputs"] == plain["inputs"]
    assert held["settings"] == {**plain["settings"], "querybank_size": 128}
    assert held["per_query"].keys() == plain["per_query"].keys()
    assert np.isfinite(held["validation"])
    written = file.stat().st_mtime_ns
    call(monkeypatch, data, out, config)
    assert file.stat().st_mtime_ns == written


def test_other_words_and_a_folder_without_runs_are_refused(comparison, monkeypatch, tmp_path):
    data, out, config = comparison
    with pytest.raises(peers_querybank.RunError, match=r"No run of cca on .*; make one by dafsn compare"):
        call(monkeypatch, data, tmp_path, config)
    with pytest.raises(peers_querybank.RunError, match="made on other features or words than --config default"):
        call(monkeypatch, data, out, "default")


def test_scores_that_are_no_cosines_and_a_configuration_without_a_bank_are_refused(comparison, monkeypatch, capsys):
    data, out, config = comparison
    with pytest.raises(SystemExit):
        call(monkeypatch, data, out, config, "semantic_matching")
    assert "invalid choice: 'semantic_matching'" in capsys.readouterr().err
    with pytest.raises(peers_querybank.RunError, match="--config shapes has no querybank"):
        call(monkeypatch, data, out, "shapes")
