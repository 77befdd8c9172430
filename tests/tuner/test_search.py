import fcntl
import json
import math

import keras
import keras_tuner
import numpy as np
import pytest

from dafsn_tf.config import load_config
from dafsn_tf.errors import ConfigError, DataError, RunError, WeightsError
from dafsn_tf.runs import load_run
from dafsn_tf.training import train
from dafsn_tuner import keras_tuner_adapter as adapter
from dafsn_tuner.search import tune
from dafsn_tuner.space import Choice, Range, configured
from dafsn_tuner.trials import Trials

SPACE = {
    "training.learning_rate": Range(1e-3, 1e-2, log=True),
    "training.batch_size": Choice((8, 16)),
    "loss.adversarial_weight": Choice((0.0, 0.02, 0.1)),
    "discriminator.steps": Choice((1, 3)),
}


@pytest.fixture(scope="module")
def searched(config, data, tmp_path_factory):
    out, lines = tmp_path_factory.mktemp("search") / "out", []
    found = tune(config, SPACE, data, out, algorithm="random", max_trials=3, write=lines.append)
    return out, found, lines


def test_a_search_ends_with_a_configuration_to_train_with(searched, config, data, tmp_path):
    out, found, lines = searched
    assert [trial.status for trial in found.trials] == ["completed"] * 3
    best = found.trials[found.best - 1]
    assert best.validation == found.validation == max(trial.validation for trial in found.trials)
    chosen = load_config(out / "best.toml")
    values = chosen.to_dict()
    for name, value in best.values.items():
        section, key = name.split(".")
        assert values[section][key] == value
    assert chosen.model == config.model
    result = train(chosen, data, tmp_path / "run", write=lambda line: None)
    assert math.isfinite(result["selection"])
    assert load_run(tmp_path / "run").config == chosen
    assert any(line.startswith("trial 3/3: validation ") for line in lines)
    assert configured(config, found.trials[0].values) == config


def test_the_trials_stand_in_a_table_and_a_picture(searched):
    out, found, _ = searched
    stored = json.loads((out / "trials.json").read_text())
    assert [trial["validation"] for trial in stored["trials"]] == [trial.validation for trial in found.trials]
    assert (out / "trials.txt").read_text().count("\n") == 5
    assert (out / "parallel_coordinates.png").stat().st_size > 10_000
    assert any((out / "tensorboard").rglob("events*"))
    assert not list(out.rglob("*.h5"))  # of weights only those of Hyperband's trials are ever read again


def test_what_has_no_effect_in_a_trial_is_left_out(searched):
    for trial in searched[1].trials:
        assert ("discriminator.steps" in trial.values) == (trial.values["loss.adversarial_weight"] > 0)


@pytest.mark.slow
def test_a_search_goes_on_without_repeating_trials(searched, config, data):
    out, found, _ = searched
    with pytest.raises(RunError, match="--resume"):
        tune(config, SPACE, data, out, algorithm="random", max_trials=4)
    other = {**SPACE, "training.batch_size": Choice((8,))}
    with pytest.raises(RunError, match="another space"):
        tune(config, other, data, out, algorithm="random", max_trials=4, resume=True)
    lines = []
    more = tune(config, SPACE, data, out, algorithm="random", max_trials=4, resume=True, write=lines.append)
    assert [trial.values for trial in more.trials[:3]] == [trial.values for trial in found.trials]
    assert [line.split(":")[0] for line in lines if line.startswith("trial ")] == ["trial 4/4"]


@pytest.mark.slow
def test_a_trial_that_diverges_is_recorded_and_passed_over(config, data, tmp_path, capfd):
    space = {"training.learning_rate": Choice((1e-3, 1e30)), "training.clip_norm": Choice((0.0,))}
    found = tune(config, space, data, tmp_path / "out", algorithm="grid", max_trials=4, write=lambda line: None)
    assert sorted(trial.status for trial in found.trials) == ["completed", "failed"]
    (failed,) = [trial for trial in found.trials if trial.status == "failed"]
    assert "not finite" in failed.error
    assert failed.values["training.learning_rate"] == 1e30
    assert "Traceback" not in "".join(capfd.readouterr())
    assert failed.error in (tmp_path / "out" / "trials.txt").read_text()


@pytest.mark.slow
def test_a_search_in_which_all_trials_fail_says_why(config, data, tmp_path):
    space = {"training.learning_rate": Choice((1e30,)), "training.clip_norm": Choice((0.0,))}
    with pytest.raises(RunError, match="not finite"):
        tune(config, space, data, tmp_path / "out", algorithm="grid", max_trials=2, write=lambda line: None)


@pytest.mark.slow
def test_a_budget_ends_a_search_between_trials(config, data, tmp_path):
    found = tune(
        config,
        SPACE,
        data,
        tmp_path / "out",
        algorithm="random",
        max_trials=50,
        budget_minutes=1e-3,
        write=lambda line: None,
    )
    assert len(found.trials) == 1


@pytest.fixture
def by_steps():
    """Training by steps on the forty scenes: ten batches of 4 an epoch, whose weight decay is that of eight."""
    steps = ["training.batch_size=4", "training.epochs=1", "training.min_steps=80", "training.weight_decay=2"]
    return load_config("shapes", ["image.image_size=32", "model.dim=16", "text.embedding_dim=8", *steps])


def test_the_first_trial_drawn_is_the_configurations_own(by_steps, data, tmp_path):
    space = {"training.weight_decay": Range(0.01, 20.0, log=True), "training.batch_size": Choice((4, 8))}
    trials = Trials(by_steps, data, lambda line: None)
    assert trials.complete(by_steps).training.weight_decay == pytest.approx(1.6)
    model = adapter.DAFSNHyperModel(trials, space)
    tuner = adapter.make_tuner("random", model, tmp_path / "state", 3, 0)
    tuner.oracle.begin(lambda line: None, 3, None)
    assert model.configuration(tuner.oracle.create_trial("tuner0").hyperparameters) == by_steps


@pytest.mark.parametrize(("batch_size", "expected"), [(4, [(0, 3), (3, 8)]), (5, [(0, 4), (4, 10)])])
def test_a_bracket_of_hyperband_is_a_share_of_a_trials_own_epochs(
    by_steps, data, monkeypatch, batch_size: int, expected: list[tuple[int, int]]
):
    asked = []
    monkeypatch.setattr(Trials, "fit", lambda self, model, config, seed, epochs, callbacks: asked.append(epochs))
    model = adapter.DAFSNHyperModel(
        Trials(by_steps, data, lambda line: None), {"training.batch_size": Choice((batch_size,))}
    )
    for first, last in ((0, 3), (3, 8)):
        model.fit(keras_tuner.HyperParameters(), None, initial_epoch=first, epochs=last)
    assert asked == expected


@pytest.mark.slow
def test_a_promoted_trial_goes_on_with_both_optimizers(config, data, tmp_path, monkeypatch):
    config = load_config("shapes", ["image.image_size=32", "model.dim=16", "text.embedding_dim=8", "training.epochs=4"])
    begun = []
    fit = Trials.fit

    def watched(self, model, trial_config, seed, epochs, callbacks):
        if epochs[0]:
            slots = [np.abs(variable.numpy()).sum() for variable in model.discriminator_optimizer.variables[2:]]
            begun.append(
                (epochs, int(model.optimizer.iterations), int(model.discriminator_optimizer.iterations), slots)
            )
        return fit(self, model, trial_config, seed, epochs, callbacks)

    monkeypatch.setattr(Trials, "fit", watched)
    space = {"training.learning_rate": Range(1e-3, 1e-2)}
    tune(config, space, data, tmp_path / "out", algorithm="hyperband", max_trials=40, write=lambda line: None)
    assert begun
    for (first, _), iterations, discriminator_iterations, slots in begun:
        assert 0 < iterations == discriminator_iterations <= first * 40
        assert sum(slots) > 0


@pytest.mark.slow
def test_the_mean_over_seeds_is_a_trials_value(config, data, tmp_path):
    space, values = {"training.learning_rate": Choice((2e-3,))}, []
    config = configured(config, {"training.learning_rate": 2e-3})
    trials = Trials(config, data, lambda line: None)
    for seed in (3, 4):
        model = trials.model(config, seed)
        values.append(max(trials.fit(model, config, seed, (0, 2), []).history["val_retrieval"]))
        keras.backend.clear_session()
    assert values[0] != values[1]
    options = {"algorithm": "grid", "max_trials": 1, "seeds": (3, 4), "write": lambda line: None}
    found = tune(config, space, data, tmp_path / "out", **options)
    assert found.validation == pytest.approx(np.mean(values), abs=1e-6)


def test_two_searches_do_not_share_a_folder_unawares(searched, config, data):
    out, _, _ = searched
    state = (out / "keras_tuner" / "oracle.json").read_bytes()
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunError, match=r"Another `dafsn tune` is searching"):
            tune(config, SPACE, data, out, algorithm="random", max_trials=4, resume=True, write=lambda line: None)
    assert (out / "keras_tuner" / "oracle.json").read_bytes() == state


def test_mistakes_are_told(config, data, tmp_path, monkeypatch):
    for options, message in (
        ({"algorithm": "genetic"}, "random, bayesian, hyperband, grid"),
        ({"max_trials": 0}, "at least 1"),
        ({"budget_minutes": -1}, "positive"),
        ({"algorithm": "hyperband", "seeds": (0, 1)}, "one seed"),
    ):
        with pytest.raises(ConfigError, match=message):
            tune(config, SPACE, data, tmp_path / "out", **options)
    with pytest.raises(RunError, match="no search to go on with"):
        tune(config, SPACE, data, tmp_path / "out", resume=True)
    with pytest.raises(DataError):
        tune(config, SPACE, tmp_path, tmp_path / "out")
    photographs = load_config("default", ["image.weights=absent.h5"])
    monkeypatch.delenv("DAFSN_INCEPTION_WEIGHTS", raising=False)
    with pytest.raises(WeightsError, match=r"absent\.h5"):
        tune(photographs, SPACE, data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert set(adapter.ALGORITHMS) == {"random", "bayesian", "hyperband", "grid"}
