"""Keras Tuner's oracles: they choose the trials of a search and keep what is known of them.

Each of Keras Tuner's is taken as it is, and given what a search here needs besides: a budget, lines of progress, files
that a kill leaves whole, and trials that come back from a worker that was lost.
"""

import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import cmp_to_key
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.src.engine.trial import Trial as OracleTrial
from keras_tuner.src.engine.trial import TrialStatus
from sklearn.exceptions import ConvergenceWarning

from dafsn_tf.files import write_json
from dafsn_tuner.trials import OBJECTIVE, Trial

_NEVER = 1_000_000  # failed trials in a row after which Keras Tuner gives up
_MOST_LOSSES = 3  # workers that a trial may take with it


class _Search:
    """What every oracle here adds to Keras Tuner's."""

    trials: dict[str, Any]
    ongoing_trials: dict[str, Any]
    tuner_ids: set[str]
    start_order: list[str]
    end_order: list[str]
    get_space: Callable[[], Any]
    get_state: Callable[[], dict[str, Any]]
    get_best_trials: Callable[[int], list[Any]]
    _retry_queue: list[str]
    _get_oracle_fname: Callable[[], str]
    _get_trial_dir: Callable[[str], str]

    def begin(self, write: Callable[[str], None], max_trials: int, budget_minutes: float | None) -> None:
        """Set what bounds the search from now on.

        Args:
            write: receives a line for each trial that ends.
            max_trials: in all, those of earlier calls included.
            budget_minutes: no trial begins later than this after the call.
        """
        self._write, self._most, self._began = write, max_trials, time.monotonic()
        self._until = None if budget_minutes is None else self._began + 60 * budget_minutes
        self._before = len(self.end_order)
        self._exhausted = False
        self._losses: Counter[str] = Counter()

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Any:
        """Return a trial to run; one to wait with, "IDLE", while another's may yet come back; or "STOPPED"."""
        if tuner_id in self.ongoing_trials or self._may_begin():
            trial = super().create_trial(tuner_id)  # pyright: ignore
        else:
            trial = OracleTrial(self.get_space(), status=TrialStatus.STOPPED)
            self.tuner_ids.discard(tuner_id)
        if trial.status == TrialStatus.RUNNING:
            trial.metrics = type(trial.metrics)()  # of a trial that begins again nothing is known
        if trial.status == TrialStatus.STOPPED and self.ongoing_trials:
            trial.status = TrialStatus.IDLE
            self.tuner_ids.add(tuner_id)
        self._exhausted = trial.status == TrialStatus.STOPPED
        return trial

    @keras_tuner.synchronized
    def end_trial(self, trial: Any) -> None:
        """Record a trial that has ended, and write a line about it."""
        super().end_trial(trial)  # pyright: ignore
        self._report(self.trials[trial.trial_id])

    @keras_tuner.synchronized
    def may_report(self, tuner_id: str, trial_id: str) -> bool:
        """Return whether a trial is a worker's own. One that nobody runs becomes its own again.

        So a trial goes on where its chief was started anew or its worker was silent for a while, and a worker whose
        trial has gone to another one meanwhile cannot end it a second time.
        """
        if trial_id in self._retry_queue:
            self._retry_queue.remove(trial_id)
            self._losses.pop(trial_id, None)  # its worker lives
            self.ongoing_trials[tuner_id] = self.trials[trial_id]
            self.ongoing_trials[tuner_id].status = TrialStatus.RUNNING
            self.tuner_ids.add(tuner_id)
        trial = self.ongoing_trials.get(tuner_id)
        return trial is not None and trial.trial_id == trial_id

    @keras_tuner.synchronized
    def give_back(self, tuner_id: str, lost: bool = False) -> int | None:
        """Let a worker go and its trial begin again elsewhere; one that was lost with several workers has failed.

        Args:
            tuner_id: the worker.
            lost: whether it fell silent.

        Returns:
            The number of its trial, or None if it had none.
        """
        self.tuner_ids.discard(tuner_id)
        trial = self.ongoing_trials.get(tuner_id)
        if trial is None:
            return None
        self._losses[trial.trial_id] += lost
        if self._losses[trial.trial_id] >= _MOST_LOSSES:
            trial.status = TrialStatus.FAILED
            trial.message = f"{_MOST_LOSSES} workers that ran it were lost; perhaps it takes more memory than they have"
            self.end_trial(trial)
        else:
            del self.ongoing_trials[tuner_id]
            self._retry_queue.append(trial.trial_id)
            self.save()
        return number(trial)

    def waiting(self) -> bool:
        """Return whether a trial that had begun waits for a worker."""
        return bool(self._retry_queue)

    def ended(self) -> bool:
        """Return whether no trial runs, none will begin, and every worker knows it."""
        return not (self.ongoing_trials or self.tuner_ids) and (self._exhausted or not self._may_begin())

    def save(self) -> None:
        """Write the state aside first: a kill leaves the old or the new file, not half of one."""
        write_json(Path(self._get_oracle_fname()), self.get_state())

    def reload(self) -> None:
        """Read the state as a kill has left it.

        A trial whose own file stands there already, but which the state does not know, has not begun; and one that
        ended just before is not run again, though Keras Tuner's state has it among those that run.
        """
        super().reload()  # pyright: ignore
        self.trials = {name: trial for name, trial in self.trials.items() if name in self.start_order}
        self._retry_queue = [name for name in self._retry_queue if name not in self.end_order]

    def _save_trial(self, trial: Any) -> None:
        write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def _may_begin(self) -> bool:
        if self._until is not None and time.monotonic() >= self._until:
            return False
        return len(self.trials) < self._most or bool(self._retry_queue)

    def _report(self, trial: Any) -> None:
        done = len(self.end_order)
        each = (time.monotonic() - self._began) / 60 / max(done - self._before, 1)
        left = each * max(self._most - done, 0)
        if self._until is not None:
            left = min(left, max(self._until - time.monotonic(), 0) / 60)
        found = described(trial)
        what = f"validation {found.validation:.3f}" if found.validation is not None else f"failed: {found.error}"
        best = [entry.score for entry in self.get_best_trials(1) if entry.score is not None]
        if best:
            what += f", best {best[0]:.3f}"
        pace = f"{each:.1f} min a trial, at most {left:.0f} min left"
        self._write(f"trial {found.number}/{self._most}: {what}; {pace}")


class _Drawing(_Search):
    """An oracle whose first trial is given; it draws the others."""

    first: dict[str, Any] | None = None

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the values of the next trial."""
        if self.first is not None and not self.trials:
            return {"status": TrialStatus.RUNNING, "values": dict(self.first)}
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", ConvergenceWarning
            )  # a length scale at its bound: a field without influence
            return super().populate_space(trial_id)  # pyright: ignore


class _Random(_Drawing, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Bayesian(_Drawing, keras_tuner.oracles.BayesianOptimizationOracle):
    pass


class Hyperband(_Search, keras_tuner.oracles.HyperbandOracle):
    """The one whose trials go on from one another's weights."""


class _Grid(_Search, keras_tuner.oracles.GridSearchOracle):
    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the order of the trials, from which the next ones follow; Keras Tuner does not keep it."""
        super().set_state(state)
        values = {name: self.trials[name].hyperparameters.values for name in self.start_order}
        by_value = sorted(self.start_order, key=cmp_to_key(lambda a, b: self._compare(values[a], values[b])))
        for name in by_value:
            self._ordered_ids.insert(name)
        self._populate_next = by_value


_KINDS = {"random": _Random, "bayesian": _Bayesian, "hyperband": Hyperband, "grid": _Grid}
ALGORITHMS = tuple(_KINDS)


def make_oracle(
    algorithm: str, max_trials: int, max_epochs: int, seed: int, first: dict[str, Any] | None = None
) -> Any:
    """Return the oracle of an algorithm of `ALGORITHMS`.

    Args:
        algorithm: its name.
        max_trials: after which it stops; Hyperband's end follows from the epochs, too.
        max_epochs: of a trial that Hyperband lets go on to the end.
        seed: of what it draws.
        first: values of the first trial of those that draw freely, random and bayesian.
    """
    options: dict[str, Any] = {"max_trials": max_trials}
    if algorithm == "hyperband":
        options = {"max_epochs": max_epochs}
    if algorithm == "bayesian":  # Keras Tuner draws three a field at random first: more than most searches have in all
        options["num_initial_points"] = max(3, max_trials // 3)
    oracle = _KINDS[algorithm](
        objective=keras_tuner.Objective(OBJECTIVE, "max"),
        seed=seed + 1,  # Keras Tuner takes 0 for none and draws one
        max_consecutive_failed_trials=_NEVER,
        **options,
    )
    oracle.verbose = 0
    if isinstance(oracle, _Drawing):
        oracle.first = first
    return oracle


def number(trial: Any) -> int:
    """Return the number of a trial, from 1, in the order of their beginning; Keras Tuner's names count from 0."""
    return int(trial.trial_id) + 1


def described(trial: Any) -> Trial:
    """Return what is known of one of Keras Tuner's trials."""
    status = {"COMPLETED": "completed", "FAILED": "failed", "INVALID": "failed"}.get(str(trial.status), "unfinished")
    score = trial.score if status == "completed" else None
    lines = (trial.message or "").strip().splitlines()
    return Trial(
        number=number(trial),
        values={name: value for name, value in trial.hyperparameters.values.items() if not name.startswith("tuner/")},
        status=status,
        validation=None if score is None else float(score),
        epochs=0 if score is None else (trial.best_step or 0) + 1,
        error=lines[-1] if status == "failed" and lines else "",
    )
