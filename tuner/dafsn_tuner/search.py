"""`tune`: a search from a configuration, a collection and a space to a configuration that is the best found.

OUT/
  search.json               what is searched, and how
  keras_tuner/              Keras Tuner's state: a search goes on from it
  tensorboard/              the trials' curves, with TensorBoard's HParams
  best.toml                 the best configuration, for `dafsn train --config`
  trials.json               every trial, and the importance of each field
  trials.txt                the same as a table
  parallel_coordinates.png  the same as a picture
"""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dafsn_tf.config import Config
from dafsn_tf.data.locking import locked
from dafsn_tf.data.manifest import Manifest
from dafsn_tf.errors import ConfigError, RunError
from dafsn_tf.files import write_json, written_aside
from dafsn_tf.runs import check_makeable
from dafsn_tuner.distribution import Place
from dafsn_tuner.space import Choice, Space, configured, to_json

SEARCH, STATE, BEST, CURVES, LOCK = "search.json", "keras_tuner", "best.toml", "tensorboard", ".lock"


@dataclass(frozen=True)
class Outcome:
    """What a search has found so far.

    Attributes:
        trials: `trials.Trial` each, in the order of their beginning.
        best: number of the best trial.
        validation: its value.
        importance: share of each field, see `report.importance`.
        table: the best trials side by side, as text.
    """

    trials: Sequence[Any]
    best: int
    validation: float
    importance: dict[str, float]
    table: str


def tune(
    config: Config,
    space: Space,
    data: str | Path,
    out: str | Path,
    *,
    algorithm: str = "bayesian",
    max_trials: int = 20,
    budget_minutes: float | None = None,
    seeds: Sequence[int] = (0,),
    resume: bool = False,
    chief: Place | None = None,
    write: Callable[[str], None] = print,
) -> Outcome:
    """Search a space for the configuration with the best validation score, and write it to OUT/best.toml.

    The training split teaches, the validation split judges (each trial by its best epoch); no other split is opened.

    Args:
        config: what is not searched, and where a field without effect stays.
        space: of `space.read_space`.
        data: a prepared collection.
        out: folder to write, absent or empty; with `resume`, one that a search has begun.
        algorithm: "random", "bayesian", "hyperband" or "grid".
        max_trials: trials in all, those of earlier calls included.
        budget_minutes: no trial begins later than this after the call.
        seeds: a trial trains with each, and its value is the mean.
        resume: go on with a search of the same configuration, space, collection, algorithm and seeds.
        chief: where to hand out the trials to workers (see `work`), instead of running them here.
        write: receives progress, a line at a time.

    Raises:
        ConfigError, DataError, RunError, WeightsError: what the user can mend.
    """
    data, out = Path(data), Path(out)
    if max_trials < 1:
        raise ConfigError(f"A search of {max_trials} trials finds nothing; --max-trials must be at least 1.")
    if budget_minutes is not None and not budget_minutes > 0:
        raise ConfigError(f"A budget of {budget_minutes} minutes is none; --budget-minutes must be positive.")
    identity = _identity(config, space, data, algorithm, seeds)
    _check_folder(out, identity, resume)
    from dafsn_tuner.keras_tuner_adapter import check_algorithm, make_tuner, search
    from dafsn_tuner.keras_tuner_distribution import Chief, environment

    check_algorithm(algorithm, seeds)
    hypermodel = _hypermodel(config, space, data, seeds, write)
    server = None if chief is None else Chief(chief, write)
    if server is None:  # what can fail for every trial fails before anything is written
        hypermodel.trials.inputs(hypermodel.trials.complete(config))
    out.mkdir(parents=True, exist_ok=True)
    with _only_search(out), environment(None):
        write_json(out / SEARCH, identity)
        tuner = make_tuner(algorithm, hypermodel, out / STATE, max_trials, seeds[0])
        write(f"searching {len(space)} fields by {algorithm}, at most {max_trials} trials; results in {out}")
        tuner.oracle.begin(write, max_trials, budget_minutes)
        try:
            if server is None:
                search(tuner, _callbacks(out))
            else:
                server.serve(tuner.oracle)
        finally:
            outcome = _write_results(tuner, config, space, out)
    if outcome is None:
        raise RunError(
            f"No trial of {out} has come to an end"
            + _first_error(tuner)
            + ". Mend that, then search in another folder."
        )
    return outcome


def work(
    config: Config,
    space: Space,
    data: str | Path,
    out: str | Path,
    place: Place,
    *,
    algorithm: str = "bayesian",
    seeds: Sequence[int] = (0,),
    write: Callable[[str], None] = print,
) -> None:
    """Run trials of a search that `tune` holds as chief, until it has no more; it writes what is found.

    Args:
        config, space, algorithm, seeds: those of the chief.
        data: the same collection, or a copy of it; its features are computed once a folder.
        out: the chief's folder itself, on a file system that both see.
        place: the worker's, with the chief's address.
        write: receives progress, a line at a time.

    Raises:
        ConfigError, DataError, RunError, WeightsError: what the user can mend.
    """
    data, out = Path(data), Path(out)
    identity = _identity(config, space, data, algorithm, seeds)
    from dafsn_tuner import keras_tuner_distribution as distribution
    from dafsn_tuner.keras_tuner_adapter import check_algorithm, make_tuner

    check_algorithm(algorithm, seeds)
    distribution.wait_for_chief(place, write)
    if not (out / SEARCH).is_file():
        raise RunError(f"{out} is not the folder of the chief at {place.address}: give both the same --out.")
    _check_identity(out, identity)
    hypermodel = _hypermodel(config, space, data, seeds, write)
    hypermodel.trials.inputs(hypermodel.trials.complete(config))
    write(f"{place.name} works for the chief at {place.address}")

    def make(kind: Any) -> Any:
        return make_tuner(algorithm, hypermodel, out / STATE, 1, seeds[0], kind)

    distribution.work(make, place, _callbacks(out), write)


def _identity(config: Config, space: Space, data: Path, algorithm: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Return what a search must have in common with one that goes on with it, as JSON has it."""
    if not seeds:
        raise ConfigError("Without a seed nothing is trained: give --seeds.")
    identity = {
        "collection": Manifest.read(data).digest,
        "algorithm": algorithm,
        "seeds": list(seeds),
        "space": to_json(space),
        "config": config.to_dict(),
    }
    return json.loads(json.dumps(identity))


def _hypermodel(config: Config, space: Space, data: Path, seeds: Sequence[int], write: Callable[[str], None]) -> Any:
    from dafsn_tuner.keras_tuner_adapter import DAFSNHyperModel
    from dafsn_tuner.trials import Trials

    augmentation = space.get("image.augmentation")
    mirrored = isinstance(augmentation, Choice) and "flip" in augmentation.values
    return DAFSNHyperModel(Trials(config, data, write, mirrored), space, seeds)


def _callbacks(out: Path) -> list[Any]:
    import keras

    return [keras.callbacks.TensorBoard(str(out / CURVES), write_graph=False)]


@contextlib.contextmanager
def _only_search(out: Path) -> Iterator[None]:
    """Keep a second command from searching in a folder; the lock ends with the process."""
    path = out / LOCK
    with path.open("w") as file:
        if not locked(file.fileno(), path):
            raise RunError(
                f"Another `dafsn tune` is searching in {out}. Wait for it, or choose another folder; if it is a chief, "
                "work for it by --chief HOST:PORT."
            )
        yield


def _check_folder(out: Path, identity: dict[str, Any], resume: bool) -> None:
    """Refuse a folder in which this search cannot be begun or gone on with."""
    check_makeable(out, "folder")
    begun = (out / SEARCH).is_file()
    if not resume and out.is_dir() and any(out.iterdir()):
        found = "holds a search: go on with it by --resume, or choose" if begun else "is not empty. Choose"
        raise RunError(f"{out} {found} another folder.")
    if not resume:
        return
    if not begun:
        raise RunError(f"{out} holds no search to go on with (no {SEARCH}). Begin one without --resume.")
    _check_identity(out, identity)


def _check_identity(out: Path, identity: dict[str, Any]) -> None:
    """Refuse to go on with another search than the folder's."""
    stored = json.loads((out / SEARCH).read_text(encoding="utf-8"))
    differing = [name for name, value in identity.items() if stored.get(name) != value]
    if differing:
        raise RunError(
            f"{out} was begun with another {' and '.join(differing)}: go on with what it was begun with, or choose "
            "another folder."
        )


def _write_results(tuner: Any, config: Config, space: Space, out: Path) -> Outcome | None:
    """Write what the search has found so far; nothing where no trial has a value."""
    from dafsn_tuner.keras_tuner_adapter import trials_of
    from dafsn_tuner.report import best_table, importance, parallel_coordinates, trials_table

    trials = trials_of(tuner)
    done = [trial for trial in trials if trial.validation is not None]
    shares = importance(trials, space)
    listed = [dataclasses.asdict(trial) for trial in trials]
    if trials:
        write_json(out / "trials.json", {"trials": listed, "importance": shares})
        (out / "trials.txt").write_text(trials_table(trials, space) + "\n", encoding="utf-8")
    if not done:
        return None
    best = max(done, key=lambda trial: trial.validation or 0.0)
    parallel_coordinates(trials, space, out / "parallel_coordinates.png")
    text = f"# Trial {best.number} of {len(trials)}, validation {best.validation:.4f}: dafsn tune\n"
    with written_aside(out / BEST) as aside:
        aside.write_text(text + configured(config, best.values).to_toml(), encoding="utf-8")
    return Outcome(trials, best.number, best.validation or 0.0, shares, best_table(trials, space))


def _first_error(tuner: Any) -> str:
    from dafsn_tuner.keras_tuner_adapter import trials_of

    errors = [trial.error for trial in trials_of(tuner) if trial.error]
    return f"; the first failed with: {errors[0]}" if errors else ""
