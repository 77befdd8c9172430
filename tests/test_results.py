"""The documents' figures are those of the run files, and their pictures are there."""

import itertools
import json
import re
import runpy
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from dafsn_tf.baselines import METHODS
from dafsn_tf.baselines.ablations import ablations_of
from dafsn_tf.baselines.tuning import check_choice, tuning_file
from dafsn_tf.config import Config, load_config, preset_names

_ROOT = Path(__file__).parents[1]
_RUNS = _ROOT / "benchmarks" / "runs"
_MADE = {  # tables that `dafsn compare` and `dafsn ablate` made
    path.stem: head["command"].splitlines()
    for path in sorted(_RUNS.glob("*.json"))
    if re.search("dafsn (compare|ablate) ", (head := json.loads(path.read_text(encoding="utf-8"))).get("command", ""))
}


def test_the_documents_say_what_the_run_files_say() -> None:
    """`make results` would change neither RESULTS.md nor the tables of other documents."""
    made = runpy.run_path(str(_ROOT / "benchmarks" / "results.py"))
    assert (_ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8") == made["results"]()
    for path, text in made["documents"]().items():
        assert path.read_text(encoding="utf-8") == text


def _configurations(command: list[str], dataset: str) -> Mapping[str, Config]:
    """Return the configuration of each method that a table's commands train today."""
    config, found = dataset.replace("-", "_") if dataset.replace("-", "_") in preset_names() else "default", {}
    for line in command:
        if not (made := re.search("dafsn (compare|ablate) (.*)", line)):
            continue
        words = shlex.split(made.group(2))
        options = list(itertools.pairwise(words))
        preset = next((value for name, value in options if name == "--config"), config)
        full = load_config(preset, [value for name, value in options if name == "--set"])
        found["dafsn"] = full
        if made.group(1) == "ablate":
            for classes in (20, 0):
                found |= ablations_of(full, classes)[0]
    return found


@pytest.mark.parametrize("name", _MADE)
def test_a_tables_command_trains_what_its_runs_were_trained_by(name: str) -> None:
    """A preset that has changed since would make other figures."""
    head = json.loads((_RUNS / f"{name}.json").read_text(encoding="utf-8"))
    folder = _RUNS / (head.get("ablation") or head["comparison"])
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    is_ablation, expected = "ablation" in head, {}
    for run in runs:
        if run["method"] != "dafsn" and not is_ablation:
            continue
        dataset = run["dataset"]
        expected[dataset] = expected.get(dataset) or _configurations(_MADE[name], dataset)
        trained_by = Config.from_dict(run["settings"])
        assert trained_by == expected[dataset][run["method"]], f"{run['method']} of {name}, seed {run['seed']}"
    assert expected


@pytest.mark.parametrize("name", [name for name in _MADE if name.startswith("compare-")])
def test_a_comparisons_methods_read_the_same_features_and_words(name: str) -> None:
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((_RUNS / name).glob("*.json"))]
    assert all(run["inputs"] == runs[0]["inputs"] for run in runs)


@pytest.mark.parametrize("name", [name for name in _MADE if name.startswith("compare-")])
def test_peers_have_the_settings_that_this_version_chooses(name: str) -> None:
    for path in sorted((_RUNS / name).glob("*.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        peer = run["method"]
        if path.name.startswith("tuning-") or peer not in METHODS:
            continue
        chosen_on = run.get("settings_chosen_on", f"{run['dataset']}-{run['collection'][:8]}")
        file = tuning_file(_RUNS / name, peer, chosen_on)
        assert file.is_file()
        check_choice(METHODS[peer], run["settings"], file)


def test_the_readmes_pictures_are_there_small_and_told_in_words() -> None:
    """Two pictures of `make pictures`, each under 200 kB and with a text for who does not see it."""
    made = runpy.run_path(str(_ROOT / "docs" / "pictures" / "renew.py"))["NAMES"].values()
    shown = re.findall(r'<img src="([^"]+)"[^>]*? alt="([^"]+)"', (_ROOT / "README.md").read_text(encoding="utf-8"))
    assert [path for path, _ in shown] == [f"docs/pictures/{name}" for name in made]
    for path, words in shown:
        assert len(words) > 60
        assert (_ROOT / path).stat().st_size < 200_000
        with Image.open(_ROOT / path) as picture:
            assert picture.width == 900
