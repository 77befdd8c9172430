import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from dafsn_tf.baselines import METHODS
from dafsn_tf.baselines.inputs import Inputs
from dafsn_tf.baselines.method import BUDGET, Axis, Method, Surroundings
from dafsn_tf.baselines.tasks import Allowance, Exhausted
from dafsn_tf.baselines.trial import Trials
from dafsn_tf.baselines.tuning import check_choice, tune
from dafsn_tf.errors import DataError, RunError


@dataclass(frozen=True)
class Noise:
    """Settings of a method that knows the answer but for noise."""

    size: float


def fit(train, validation, settings, seed, surroundings):
    FITS.append((settings.size, seed))

    def score(split):
        noise = np.random.default_rng(seed).normal(size=(len(split.word_ids), len(split.records)))
        return (split.text_labels @ split.labels.T + settings.size * noise).astype("float32")

    return score


FITS: list = []
METHOD = Method("stub", fit, grid=(Noise(9.0), Noise(0.0), Noise(3.0), Noise(0.0)))


@pytest.fixture(autouse=True)
def _forget():
    FITS.clear()


def choose(toy_split, file, method=METHOD, inputs=None, lines=None):
    surroundings = Surroundings(Path("unused"), (lines if lines is not None else []).append)
    train, validation = toy_split("train", images=12), toy_split("validation", images=12)
    return tune(method, train, validation, inputs or {"features": 1}, file, lambda settings, seed: surroundings)


def test_validation_chooses_with_seed_0_and_of_equals_the_first(toy_split, tmp_path):
    lines = []
    settings, fitted = choose(toy_split, tmp_path / "t.json", lines=lines)
    assert settings is fitted.settings is METHOD.grid[1]
    assert FITS == [(9.0, 0), (0.0, 0), (3.0, 0)]  # equal settings are tried once
    stored = json.loads((tmp_path / "t.json").read_text())
    assert stored["chosen"] == {"size": 0.0}
    assert stored["tried"][1]["validation"] == 1
    assert stored["tried"][0]["validation"] < 0.9
    assert "setting 2 of at most 4" in lines[1]
    validation = toy_split("validation", images=12)
    np.testing.assert_array_equal(fitted.scorer(validation), METHOD.fit(None, None, settings, 0, None)(validation))


@dataclass(frozen=True)
class Trained(Noise):
    """Settings of a method that is better, or worse, when it trains for longer."""

    better: bool = True
    epochs: int = 2
    min_steps: int = 5


@pytest.mark.parametrize(("better", "expected"), [(True, (4, 10)), (False, (2, 5))])
def test_the_best_setting_is_tried_once_more_with_twice_the_training(toy_split, tmp_path, better, expected):
    def trained(train, validation, settings, seed, surroundings):
        size = settings.size + (settings.epochs == 4 and not better) - (settings.epochs == 4 and better)
        return fit(train, validation, Noise(max(size, 0.0)), seed, surroundings)

    method = Method("stub", trained, grid=(Trained(9.0, better), Trained(1.0, better), Trained(3.0, better)))
    lines = []
    settings, fitted = choose(toy_split, tmp_path / "t.json", method, lines=lines)
    assert (settings.size, settings.epochs, settings.min_steps) == (1.0, *expected)
    assert (fitted.settings if fitted else None) == settings
    assert [size for size, _ in FITS] == [9.0, 1.0, 3.0, 0.0 if better else 2.0]
    assert ["setting 1 of at most 4" in lines[0], "setting 4 of at most 4" in lines[-1]] == [True, True]
    FITS.clear()
    assert choose(toy_split, tmp_path / "t.json", method)[0] == settings
    assert FITS == []


def reached(toy_split, file, best, start=(3.0, 4.0), steps=12, noise=3.0):
    """Return the settings that a walk from a grid of `start` comes to, where the noise is least at `best`."""

    def distant(train, validation, settings, seed, surroundings):
        return fit(train, validation, Noise(noise * abs(settings.size - best)), seed, surroundings)

    grid = tuple(Noise(size) for size in start)
    method = Method("stub", distant, grid=grid, axes=(Axis(("size",), tuple(map(float, range(steps)))),))
    settings, fitted = choose(toy_split, file, method)
    check_choice(method, asdict(settings), file)
    assert fitted is None or fitted.settings == settings
    return settings.size, [tried["settings"]["size"] for tried in json.loads(file.read_text())["tried"]]


def test_the_best_of_the_grid_is_moved_along_its_axes_while_that_is_better(toy_split, tmp_path):
    assert reached(toy_split, tmp_path / "inside.json", 3.0) == (3.0, [3.0, 4.0, 2.0])
    assert reached(toy_split, tmp_path / "below.json", 1.0) == (1.0, [3.0, 4.0, 2.0, 1.0, 0.0])
    assert reached(toy_split, tmp_path / "end.json", 0.0) == (0.0, [3.0, 4.0, 2.0, 1.0, 0.0])
    assert reached(toy_split, tmp_path / "above.json", 6.0) == (6.0, [3.0, 4.0, 5.0, 6.0, 7.0])
    assert reached(toy_split, tmp_path / "off.json", 6.0, start=(3.5, 20.0)) == (3.5, [3.5, 20.0])


def test_a_walk_ends_with_the_budget(toy_split, tmp_path, monkeypatch):
    monkeypatch.setattr("dafsn_tf.baselines.tuning.BUDGET", 6)
    assert reached(toy_split, tmp_path / "t.json", 11.0, noise=0.3) == (8.0, [3.0, 4.0, 5.0, 6.0, 7.0, 8.0])


def test_a_walk_turns_at_what_is_better_along_any_axis(toy_split, tmp_path):
    @dataclass(frozen=True)
    class Place:
        first: float
        second: float

    def distant(train, validation, settings, seed, surroundings):
        return fit(train, validation, Noise(abs(settings.first - 2) + abs(settings.second - 2)), seed, surroundings)

    line = (0.0, 1.0, 2.0, 3.0)
    method = Method("stub", distant, grid=(Place(0.0, 1.0),), axes=(Axis(("first",), line), Axis(("second",), line)))
    settings, _ = choose(toy_split, tmp_path / "t.json", method)
    assert settings == Place(2.0, 2.0)
    tried = [tuple(tried["settings"].values()) for tried in json.loads((tmp_path / "t.json").read_text())["tried"]]
    assert tried == [(0, 1), (1, 1), (2, 1), (3, 1), (2, 0), (2, 2), (1, 2), (3, 2), (2, 3)]


def test_an_axis_moves_the_fields_that_it_names_together():
    @dataclass(frozen=True)
    class Pair:
        first: float
        second: float

    axis = Axis(("first", "second"), (1.0, 2.0, 5.0))
    assert list(axis.neighbours(Pair(2.0, 2.0))) == [Pair(1.0, 1.0), Pair(5.0, 5.0)]
    assert list(axis.neighbours(Pair(1.0, 1.0))) == [Pair(2.0, 2.0)]
    assert list(axis.neighbours(Pair(1.0, 2.0))) == list(axis.neighbours(Pair(3.0, 3.0))) == []


@pytest.mark.parametrize("name", METHODS)
def test_every_axis_of_a_peer_runs_through_its_grid(name):
    method = METHODS[name]
    assert method.axes
    for axis in method.axes:
        assert list(axis.values) == sorted(set(axis.values))
        off = [settings for settings in method.grid if not list(axis.neighbours(settings))]
        assert len(off) == (name == "cca" and len(axis.names) > 1)  # one has two ridges


def test_an_interrupted_choice_goes_on(toy_split, tmp_path):
    def interrupted(train, validation, settings, seed, surroundings):
        if settings.size == 3:
            raise KeyboardInterrupt
        return fit(train, validation, settings, seed, surroundings)

    with pytest.raises(KeyboardInterrupt):
        choose(toy_split, tmp_path / "t.json", replace(METHOD, fit=interrupted))
    assert "chosen" not in json.loads((tmp_path / "t.json").read_text())
    FITS.clear()
    choose(toy_split, tmp_path / "t.json")
    assert FITS == [(3.0, 0)]
    FITS.clear()
    assert choose(toy_split, tmp_path / "t.json") == (METHOD.grid[1], None)
    assert FITS == []


def trials_of(toy_split, monkeypatch, out, most=None):
    """Return trials on toy splits, which are not read from a collection."""
    monkeypatch.setattr(Trials, "__init__", lambda self: None)
    trials = Trials()
    out.mkdir(exist_ok=True)
    splits = {f"_{name}": toy_split(name, images=12) for name in ("train", "validation")}
    config = splits["_train"].config
    vars(trials).update(
        out=out, collection="toy", config=config, description={}, write=[].append, chooser=None, **splits
    )
    trials.allowance = Allowance(most)
    return trials


def test_what_was_fitted_for_the_choice_is_not_fitted_again(toy_split, tmp_path, monkeypatch):
    for seed, fits in ((0, 3), (1, 4)):
        trials = trials_of(toy_split, monkeypatch, tmp_path / str(seed))
        FITS.clear()
        assert trials.fit(METHOD, seed).settings is METHOD.grid[1]
        assert len(FITS) == fits
        assert FITS[-1] == ((3.0, 0) if seed == 0 else (0.0, 1))
        assert trials.allowance.trained == 0  # none is trained by epochs


def test_a_choice_is_made_in_parts_where_no_more_models_may_be_trained(toy_split, tmp_path, monkeypatch):
    method = Method("stub", fit, grid=(Trained(9.0), Trained(1.0), Trained(3.0)))
    for part, fits in enumerate(([9.0, 1.0], [3.0, 1.0], [1.0])):  # the best is tried once more, then trained by seed 1
        FITS.clear()
        trials = trials_of(toy_split, monkeypatch, tmp_path / "out", most=2)
        if part < 2:
            with pytest.raises(Exhausted):
                trials.fit(method, 1)
        else:
            assert trials.fit(method, 1).settings.size == 1.0
        assert [size for size, _ in FITS] == fits


def test_a_folder_of_a_training_tells_settings_words_and_choices_apart(toy_split, tmp_path, monkeypatch):
    def folder(settings=METHOD.grid[0], **changes):
        trials = trials_of(toy_split, monkeypatch, tmp_path)
        vars(trials).update(changes)
        return trials._surroundings(METHOD, settings, 0).folder

    config = toy_split("train", images=12).config
    other = replace(config, evaluation=replace(config.evaluation, selection_texts=5))
    folders = [folder(), folder(METHOD.grid[1]), folder(description={"words": "other"}), folder(config=other)]
    assert len(set(folders)) == 4
    assert folder() == folders[0]


def test_what_an_earlier_version_tried_is_no_part_of_a_choice(toy_split, tmp_path):
    file = tmp_path / "t.json"
    choose(toy_split, file, replace(METHOD, grid=(Noise(5.0), Noise(3.0), Noise(0.1))))
    lines = []
    settings, fitted = choose(toy_split, file, lines=lines)
    assert settings is fitted.settings is METHOD.grid[1]
    assert [line.split(" of at most")[0] for line in lines] == ["stub: setting 1", "stub: setting 2"]  # 3.0 was tried
    assert {tried["settings"]["size"] for tried in json.loads(file.read_text())["tried"]} == {9.0, 0.0, 3.0}


def test_a_choice_made_on_other_features_is_refused(toy_split, tmp_path):
    choose(toy_split, tmp_path / "t.json")
    with pytest.raises(RunError, match=r"t\.json was chosen on other features or words.*--out"):
        choose(toy_split, tmp_path / "t.json", inputs={"features": 2})


def test_a_run_is_refused_whose_settings_this_version_chooses_otherwise(toy_split, tmp_path):
    file = tmp_path / "t.json"
    check_choice(METHOD, {"size": 5.0}, file)  # nothing is known of a choice that has no file
    chosen, _ = choose(toy_split, file)
    check_choice(METHOD, asdict(chosen), file)
    with pytest.raises(RunError, match=r"stub .*they were \{'size': 3.0\}.*chooses \{'size': 0.0\} \(.*t\.json.*--out"):
        check_choice(METHOD, {"size": 3.0}, file)
    with pytest.raises(RunError, match=r"not all settings that this version tries had been tried.*Remove"):
        check_choice(replace(METHOD, grid=(*METHOD.grid, Noise(1.0))), {"size": 0.0}, file)


def test_a_run_is_refused_that_knows_nothing_of_twice_the_training(toy_split, tmp_path):
    method, file = Method("stub", fit, grid=(Trained(9.0), Trained(1.0))), tmp_path / "t.json"
    chosen, _ = choose(toy_split, file, method)
    check_choice(method, asdict(chosen), file)
    check_choice(method, {"size": chosen.size}, file)  # of a version that lacked the other fields
    stored = json.loads(file.read_text())
    file.write_text(json.dumps({**stored, "tried": stored["tried"][:2]}))
    with pytest.raises(RunError, match="not all settings"):
        check_choice(method, asdict(chosen), file)


TRAINED = ("acmr", "dscmr", "vsepp", "scan", "damsm")
SLOW = ("acmr", "vsepp", "scan", "damsm")


@pytest.mark.usefixtures("colour_backbone")
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in METHODS])
def test_tuning_never_opens_the_test_split(name, prepared, config, small, tmp_path):
    """The test records are not there: whatever opened them would fail."""
    data = prepared()
    for file in data.glob("test-*"):
        file.unlink()
    with pytest.raises(DataError, match="test"):
        Inputs(data, config).open("test")
    method = small(METHODS[name], epochs=1)
    trials = Trials(data, config, tmp_path, lambda line: None)
    with pytest.raises(DataError, match="test"):
        trials.peer(method, seed=1)
    (file,) = tmp_path.glob("tuning-*.json")
    stored = json.loads(file.read_text())
    assert len(set(method.grid)) < len(stored["tried"]) <= BUDGET + (name in TRAINED)
    assert "chosen" in stored
