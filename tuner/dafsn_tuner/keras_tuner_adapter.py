"""Keras Tuner, as far as this package uses it: the one file that knows of it."""

import contextlib
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.src import config as keras_tuner_config

from dafsn_tf.config import Config
from dafsn_tf.errors import ConfigError
from dafsn_tuner.space import Choice, Space, condition, configured, ordered
from dafsn_tuner.trials import OBJECTIVE, Trials

ALGORITHMS = {
    "random": keras_tuner.RandomSearch,
    "bayesian": keras_tuner.BayesianOptimization,
    "hyperband": keras_tuner.Hyperband,
    "grid": keras_tuner.GridSearch,
}
_NEVER = 1_000_000  # failed trials in a row after which Keras Tuner gives up


@dataclass(frozen=True)
class Trial:
    """What is known of a trial.

    Attributes:
        number: from 1, in the order of their beginning.
        values: of the fields searched, by name; those without effect are left out.
        status: "completed", "failed" or "unfinished".
        validation: the objective of its best epoch, averaged over seeds; None where it failed.
        epochs: epochs trained up to its best, from 1.
        error: last line of what went wrong, or "".
    """

    number: int
    values: dict[str, Any]
    status: str
    validation: float | None
    epochs: int
    error: str


class DAFSNHyperModel(keras_tuner.HyperModel):
    """DAFSN with the fields of a search space as its hyperparameters, under their own names.

    Args:
        trials: builds and fits.
        space: what is searched.
        seeds: a trial trains once with each; its value is their mean.
    """

    def __init__(self, trials: Trials, space: Space, seeds: Sequence[int] = (0,)) -> None:
        super().__init__(name="dafsn")
        self.trials, self.space, self.seeds = trials, space, tuple(seeds)
        self.seed = self.seeds[0]

    def declare_hyperparameters(self, hp: Any) -> None:
        """Declare the whole space, what depends on a choice within that choice's scope."""
        self.values(hp)

    def values(self, hp: Any) -> dict[str, Any]:
        """Return the values of the fields that are searched and have an effect, by name."""
        found = {}
        for name in ordered(self.space):
            when = condition(name, self.space)
            if when is None:
                found[name] = self._value(hp, name)
                continue
            with hp.conditional_scope(when.field, list(when.values)):
                value = self._value(hp, name)
            if found[when.field] in when.values:
                found[name] = value
        return found

    def configuration(self, hp: Any) -> Config:
        """Return the configuration of a trial."""
        return configured(self.trials.config, self.values(hp))

    def build(self, hp: Any) -> Any:
        """Return a built and compiled model; both optimizers are built, so that a promoted trial keeps its slots."""
        return self.trials.model(self.configuration(hp), self.seed)

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Train on batches of the trial's own size, and return Keras' history.

        Args:
            hp: of the trial.
            model: of `build`.
            *args: none.
            **kwargs: `callbacks`; `epochs` and `initial_epoch` of a bracket of Hyperband.
        """
        config = self.trials.complete(self.configuration(hp))
        callbacks = list(kwargs.get("callbacks", ()))
        if config.training.patience:
            callbacks.append(keras.callbacks.EarlyStopping(OBJECTIVE, mode="max", patience=config.training.patience))
        epochs = kwargs.get("initial_epoch", 0), kwargs.get("epochs", config.training.epochs)
        return self.trials.fit(model, config, self.seed, epochs, callbacks)

    def _value(self, hp: Any, name: str) -> Any:
        values = self.space[name]
        if isinstance(values, Choice):
            return hp.Boolean(name) if isinstance(values.values[0], bool) else hp.Choice(name, list(values.values))
        whole = isinstance(values.low, int) and isinstance(values.high, int)
        number = hp.Int if whole else hp.Float
        sampling = "log" if values.log else "linear"
        return number(name, values.low, values.high, step=values.step or (1 if whole else None), sampling=sampling)


class _BudgetSpent(Exception):
    """No further trial begins."""


class _Reporting:
    """What every tuner here adds to Keras Tuner's: seeds, a budget, lines of progress."""

    hypermodel: Any
    oracle: Any
    _get_checkpoint_fname: Callable[[str], str]

    def begin(self, write: Callable[[str], None], max_trials: int, budget_minutes: float | None) -> None:
        self._write, self._max_trials, self._began = write, max_trials, time.monotonic()
        self._until = None if budget_minutes is None else self._began + 60 * budget_minutes
        self._before = len(self.oracle.end_order)

    def _activate_all_conditions(self) -> None:
        """Do nothing: `declare_hyperparameters` has declared all; Keras Tuner would build a model for each scope."""

    def pre_create_trial(self) -> None:
        if len(self.oracle.end_order) >= self._max_trials or (self._until and time.monotonic() >= self._until):
            raise _BudgetSpent

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> list[Any]:
        results = []
        for seed in self.hypermodel.seeds:
            self.hypermodel.seed = seed
            results += super().run_trial(trial, *args, **kwargs)  # pyright: ignore
        return results

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)  # pyright: ignore
        if not isinstance(self, keras_tuner.Hyperband):  # whose trials alone go on from one another's weights
            Path(self._get_checkpoint_fname(trial.trial_id)).unlink(missing_ok=True)
        done = len(self.oracle.end_order)
        minutes = (time.monotonic() - self._began) / 60
        each = minutes / max(done - self._before, 1)
        left = each * (self._max_trials - done)
        if self._until is not None:
            left = min(left, max(self._until - time.monotonic(), 0) / 60)
        found = _trial(trial, done)
        what = f"validation {found.validation:.3f}" if found.validation is not None else f"failed: {found.error}"
        best = [entry.score for entry in self.oracle.get_best_trials(1) if entry.score is not None]
        best_so_far = f", best {best[0]:.3f}" if best else ""
        self._write(
            f"trial {done}/{self._max_trials}: {what}{best_so_far}; {each:.1f} min a trial, at most {left:.0f} min left"
        )


def check_algorithm(algorithm: str, seeds: Sequence[int]) -> None:
    """Refuse what no tuner does.

    Raises:
        ConfigError: no such algorithm, or several seeds with Hyperband, whose trials go on from one another.
    """
    if algorithm not in ALGORITHMS:
        raise ConfigError(f"There is no algorithm '{algorithm}'. Known: {', '.join(ALGORITHMS)}.")
    if algorithm == "hyperband" and len(seeds) > 1:
        raise ConfigError("Hyperband's trials go on from one another, so each has one seed: give one by --seeds.")


def make_tuner(algorithm: str, hypermodel: DAFSNHyperModel, folder: Path, max_trials: int, seed: int) -> Any:
    """Return a tuner whose state stands in a folder, which it makes; one that stands there is gone on with."""
    options: dict[str, Any] = {"max_trials": max_trials}
    if algorithm == "hyperband":
        options = {"max_epochs": hypermodel.trials.complete(hypermodel.trials.config).training.epochs}
    if algorithm != "grid":
        options["seed"] = seed
    kind: Any = type(f"{algorithm.title()}Tuner", (_Reporting, ALGORITHMS[algorithm]), {})
    with contextlib.redirect_stdout(io.StringIO()):  # "Reloading Tuner from ..."
        return kind(
            hypermodel,
            objective=keras_tuner.Objective(OBJECTIVE, "max"),
            directory=str(folder.absolute().parent),
            project_name=folder.name,
            max_consecutive_failed_trials=_NEVER,
            **options,
        )


def search(tuner: Any, callbacks: Sequence[Any]) -> None:
    """Run trials until the tuner has no more, its number of trials or its budget is spent."""
    printed = keras_tuner_config.DEBUG
    keras_tuner_config.DEBUG = False  # a failed trial is recorded with its error; its traceback is not printed too
    try:
        tuner.search(callbacks=list(callbacks), verbose=0)
    except _BudgetSpent:
        return
    finally:
        keras_tuner_config.DEBUG = printed


def trials_of(tuner: Any) -> list[Trial]:
    """Return all trials in the order of their beginning."""
    oracle = tuner.oracle
    found = [_trial(oracle.trials[name], number) for number, name in enumerate(oracle.start_order, start=1)]
    return [
        replace(trial, values=tuner.hypermodel.values(oracle.trials[name].hyperparameters.copy()))
        for trial, name in zip(found, oracle.start_order, strict=True)
    ]


def _trial(trial: Any, number: int) -> Trial:
    status = {"COMPLETED": "completed", "FAILED": "failed", "INVALID": "failed"}.get(str(trial.status), "unfinished")
    score = trial.score if status == "completed" else None
    lines = (trial.message or "").strip().splitlines()
    return Trial(
        number=number,
        values={name: value for name, value in trial.hyperparameters.values.items() if not name.startswith("tuner/")},
        status=status,
        validation=None if score is None else float(score),
        epochs=0 if score is None else (trial.best_step or 0) + 1,
        error=lines[-1] if status == "failed" and lines else "",
    )
