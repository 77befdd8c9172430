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

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dafsn_tf.config import Config
from dafsn_tf.data.manifest import Manifest
from dafsn_tf.errors import ConfigError, RunError
from dafsn_tf.runs import check_makeable, write_json
from dafsn_tuner.space import Choice, Space, configured, to_json

SEARCH, STATE, BEST = "search.json", "keras_tuner", "best.toml"


@dataclass(frozen=True)
class Outcome:
    """What a search has found so far.

    Attributes:
        trials: `keras_tuner_adapter.Trial` each, in the order of their beginning.
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
        write: receives progress, a line at a time.

    Raises:
        ConfigError, DataError, RunError, WeightsError: what the user can mend.
    """
    data, out = Path(data), Path(out)
    if max_trials < 1:
        raise ConfigError(f"A search of {max_trials} trials finds nothing; --max-trials must be at least 1.")
    if budget_minutes is not None and not budget_minutes > 0:
        raise ConfigError(f"A budget of {budget_minutes} minutes is none; --budget-minutes must be positive.")
    if not seeds:
        raise ConfigError("Without a seed nothing is trained: give --seeds.")
    identity = {
        "collection": Manifest.read(data).digest,
        "algorithm": algorithm,
        "seeds": list(seeds),
        "space": to_json(space),
        "config": config.to_dict(),
    }
    _check_folder(out, json.loads(json.dumps(identity)), resume)
    import keras

    from dafsn_tuner.keras_tuner_adapter import DAFSNHyperModel, check_algorithm, make_tuner, search
    from dafsn_tuner.trials import Trials

    check_algorithm(algorithm, seeds)
    augmentation = space.get("image.augmentation")
    mirrored = isinstance(augmentation, Choice) and "flip" in augmentation.values
    trials = Trials(config, data, write, mirrored)
    trials.inputs(trials.complete(config))  # what can fail for every trial fails before anything is written
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / SEARCH, identity)
    tuner = make_tuner(algorithm, DAFSNHyperModel(trials, space, seeds), out / STATE, max_trials, seeds[0])
    write(f"searching {len(space)} fields by {algorithm}, at most {max_trials} trials; results in {out}")
    tuner.begin(write, max_trials, budget_minutes)
    try:
        search(tuner, [keras.callbacks.TensorBoard(str(out / "tensorboard"), write_graph=False)])
    finally:
        outcome = _write_results(tuner, config, space, out)
    if outcome is None:
        raise RunError(
            f"No trial of {out} has come to an end"
            + _first_error(tuner)
            + ". Mend that, then search in another folder."
        )
    return outcome


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
    aside = out / f".{BEST}.tmp"
    aside.write_text(text + configured(config, best.values).to_toml(), encoding="utf-8")
    os.replace(aside, out / BEST)
    return Outcome(trials, best.number, best.validation or 0.0, shares, best_table(trials, space))


def _first_error(tuner: Any) -> str:
    from dafsn_tuner.keras_tuner_adapter import trials_of

    errors = [trial.error for trial in trials_of(tuner) if trial.error]
    return f"; the first failed with: {errors[0]}" if errors else ""
