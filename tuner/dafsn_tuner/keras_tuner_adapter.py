"""Keras Tuner's side of a search in one process: the model that it builds, and the tuner that runs trials.

Beside it stand `keras_tuner_oracles.py`, which choose the trials, and `keras_tuner_distribution.py`, the chief and the
workers of a search that several processes share. No other file knows of Keras Tuner.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.src import config as keras_tuner_config

from dafsn_tf.config import Config
from dafsn_tf.errors import ConfigError
from dafsn_tuner.keras_tuner_oracles import ALGORITHMS, Hyperband, described, make_oracle
from dafsn_tuner.space import Choice, Space, condition, configured, ordered, own_values
from dafsn_tuner.trials import OBJECTIVE, Trial, Trials


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
            when = condition(name, self.space, self.trials.config)
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
            **kwargs: `callbacks`; `epochs` and `initial_epoch` of a bracket of Hyperband, as the search's configuration
                counts: a trial whose batches are of another size takes other epochs, and the same share of them.
        """
        config = self.trials.complete(self.configuration(hp))
        whole = self.trials.complete(self.trials.config).training.epochs
        callbacks = list(kwargs.get("callbacks", ()))
        if config.training.patience:
            callbacks.append(keras.callbacks.EarlyStopping(OBJECTIVE, mode="max", patience=config.training.patience))
        first, last = (
            round(kwargs.get(name, default) * config.training.epochs / whole)
            for name, default in (("initial_epoch", 0), ("epochs", whole))
        )
        return self.trials.fit(model, config, self.seed, (first, max(first + 1, last)), callbacks)

    def _value(self, hp: Any, name: str) -> Any:
        values = self.space[name]
        if isinstance(values, Choice):
            return hp.Boolean(name) if isinstance(values.values[0], bool) else hp.Choice(name, list(values.values))
        whole = isinstance(values.low, int) and isinstance(values.high, int)
        number = hp.Int if whole else hp.Float
        sampling = "log" if values.log else "linear"
        return number(name, values.low, values.high, step=values.step or (1 if whole else None), sampling=sampling)


class Tuner(keras_tuner.Hyperband):
    """Runs the trials of any oracle here: Hyperband's tuner is the plain one, and goes on with promoted trials.

    Args:
        oracle: of `keras_tuner_oracles`.
        hypermodel: builds and fits.
        folder: of the state; what stands there is gone on with.
    """

    def __init__(self, oracle: Any, hypermodel: DAFSNHyperModel, folder: Path) -> None:
        self.keeps_weights = isinstance(oracle, Hyperband)
        keras_tuner.Tuner.__init__(
            self,
            oracle=oracle,
            hypermodel=hypermodel,
            directory=str(folder.absolute().parent),
            project_name=folder.name,
        )

    def _activate_all_conditions(self) -> None:
        """Do nothing: `declare_hyperparameters` has declared all; Keras Tuner would build a model for each scope."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> list[Any]:
        """Train once with each seed, and return all histories."""
        results = []
        for seed in self.hypermodel.seeds:
            self.hypermodel.seed = seed
            results += super().run_trial(trial, *args, **kwargs)  # pyright: ignore
        return results

    def on_trial_begin(self, trial: Any) -> None:
        """Leave the file by which a search is known to go on; Keras Tuner writes it only after a trial."""
        super().on_trial_begin(trial)
        self.save()

    def on_trial_end(self, trial: Any) -> None:
        """Record the trial, and keep its weights only where another one may go on from them."""
        super().on_trial_end(trial)
        if not self.keeps_weights:
            Path(self._get_checkpoint_fname(trial.trial_id)).unlink(missing_ok=True)


def check_algorithm(algorithm: str, seeds: Sequence[int]) -> None:
    """Refuse what no tuner does.

    Raises:
        ConfigError: no such algorithm, or several seeds with Hyperband, whose trials go on from one another.
    """
    if algorithm not in ALGORITHMS:
        raise ConfigError(f"There is no algorithm '{algorithm}'. Known: {', '.join(ALGORITHMS)}.")
    if algorithm == "hyperband" and len(seeds) > 1:
        raise ConfigError("Hyperband's trials go on from one another, so each has one seed: give one by --seeds.")


def make_tuner(
    algorithm: str, hypermodel: DAFSNHyperModel, folder: Path, max_trials: int, seed: int, kind: type[Tuner] = Tuner
) -> Any:
    """Return a tuner whose state stands in a folder, which it makes; one that stands there is gone on with."""
    config = hypermodel.trials.complete(hypermodel.trials.config)
    first = own_values(hypermodel.trials.config, hypermodel.space)  # a trial is completed when it is built
    oracle = make_oracle(algorithm, max_trials, config.training.epochs, seed, first)
    with contextlib.redirect_stdout(io.StringIO()):  # "Reloading Tuner from ..."
        return kind(oracle, hypermodel, folder)


def search(tuner: Any, callbacks: Sequence[Any]) -> None:
    """Run trials until there are no more, their number or their budget is spent."""
    with quiet_failures():
        tuner.search(callbacks=list(callbacks), verbose=0)


@contextlib.contextmanager
def quiet_failures() -> Iterator[None]:
    """Keep the traceback of a failed trial, which is recorded with its error, from being printed too."""
    printed = keras_tuner_config.DEBUG
    keras_tuner_config.DEBUG = False
    try:
        yield
    finally:
        keras_tuner_config.DEBUG = printed


def trials_of(tuner: Any) -> list[Trial]:
    """Return all trials in the order of their beginning."""
    oracle = tuner.oracle
    return [
        replace(
            described(oracle.trials[name]),
            values=tuner.hypermodel.values(oracle.trials[name].hyperparameters.copy()),
        )
        for name in oracle.start_order
    ]
