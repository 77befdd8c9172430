"""DAFSN and its peers on one collection, or on several splits of one: every run once, whatever interrupts the work.

OUT/
  METHOD-COLLECTION-SEED.json      a run: settings, validation value, test metrics, values of each query
  tuning-METHOD-COLLECTION.json    the settings tried on validation and the choice
  dafsn-COLLECTION-SEED/           DAFSN's run folder
  METHOD-COLLECTION-DIGEST-SEED/   where a peer's training stands, by what it depends on; DAMSM's is a run folder too
"""

import json
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from pathlib import Path

from dafsn_tf.baselines.methods import METHODS
from dafsn_tf.baselines.tasks import (
    Allowance,
    Comparison,
    Record,
    Task,
    collection_name,
    completed,
    preset_of,
    read_record,
    read_splits,
    tasks_of,
)
from dafsn_tf.baselines.trial import Trials
from dafsn_tf.baselines.tuning import check_choice, tuning_file
from dafsn_tf.config import Config
from dafsn_tf.data.manifest import Manifest
from dafsn_tf.data.records import open_split
from dafsn_tf.errors import ConfigError, RunError
from dafsn_tf.runs import check_makeable

NAMES = ("dafsn", *METHODS)


def compare(
    data: Sequence[str | Path],
    out: str | Path,
    *,
    methods: Sequence[str] = NAMES,
    seeds: Sequence[int] = (0,),
    only: Sequence[str] = (),
    tune_once: bool = False,
    config: Config | None = None,
    at_most: int | None = None,
    write: Callable[[str], None] = print,
) -> Comparison:
    """Make the runs that `out` lacks, and return all that it then holds of these methods and collections.

    Args:
        data: a prepared collection, or several that are splits of one.
        out: folder of the runs, see above.
        methods: names from `NAMES`.
        seeds: of each method; tuning has seed 0.
        only: make the runs of these methods alone.
        tune_once: whether a peer's settings are chosen on the first collection alone and taken for all, as DAFSN's are;
            else each split's validation images choose them anew.
        config: DAFSN's configuration; by default the preset of the collection's layout, or `default`. Its image and
            text sections say what features and words every method reads.
        at_most: models to train now, those tried for a choice of settings included: TensorFlow keeps 0.1 to 0.3 GB of
            every one. None makes all.
        write: receives progress, a line at a time.

    Raises:
        ConfigError, DataError, RunError, WeightsError: what the user can mend.
    """
    for name in (*methods, *only):
        if name not in NAMES:
            raise ConfigError(f"There is no method '{name}'. Known: {', '.join(NAMES)}.")
    outside = [name for name in only if name not in methods]
    if outside:
        raise ConfigError(
            f"--only names {', '.join(outside)}, which --methods lacks ({', '.join(methods)}): add it there."
        )
    manifests, out = read_splits(data), Path(out)
    config = config or preset_of(manifests)
    check_makeable(out, "folder of runs")
    out.mkdir(parents=True, exist_ok=True)

    tasks, skipped = [], []
    for folder, manifest in manifests.items():
        learn_classes = [name for name in methods if name in METHODS and METHODS[name].needs_labels]
        reason = _no_classes(folder, manifest) if learn_classes else ""
        unfit = learn_classes if reason else []
        skipped += [f"{method} on {collection_name(manifest)}: it learns from classes, {reason}" for method in unfit]
        tasks += tasks_of([name for name in methods if name not in unfit], folder, manifest, seeds, out)

    first, allowance = next(iter(manifests)), Allowance(at_most)

    @lru_cache(maxsize=1)  # features are read once
    def trials(folder: Path) -> Trials:
        return Trials(folder, config, out, write, chooser() if tune_once and folder != first else None, allowance)

    @cache
    def chooser() -> Trials:
        return Trials(first, config, out, write, allowance=allowance)

    found = {task: read_record(task, None) for task in tasks if task.file.exists()}
    for task, run in found.items():
        if task.method in METHODS:
            chosen_on = run.get("settings_chosen_on", task.collection)  # not told by a version that chose on each
            check_choice(METHODS[task.method], run["settings"], tuning_file(out, task.method, chosen_on))

    def make(task: Task) -> Record:
        here = trials(task.data)
        _refuse_other_inputs([*found.values(), {"inputs": here.description}], out)
        return here.dafsn(task.seed) if task.method == "dafsn" else here.peer(METHODS[task.method], task.seed)

    asked = [task for task in tasks if task.seed in seeds and task.method in (only or methods)]
    done = completed(
        tasks,
        asked,
        lambda task: config if task.method == "dafsn" else None,
        make,
        write,
        skipped,
        apart=", choices of settings apart",
    )
    _refuse_other_inputs(done.runs, out)
    return done


def _no_classes(folder: Path, manifest: Manifest) -> str:
    """Return why a collection has no two classes to learn from; "" where it has."""
    if not manifest.classes:
        return "and the collection has none"
    found = int(open_split(folder, "train").labels.any(axis=0).sum())
    return "" if found > 1 else f"and the training pictures have {found or 'none'}"


def _refuse_other_inputs(runs: Sequence[Record], out: Path) -> None:
    if len({json.dumps(run["inputs"], sort_keys=True) for run in runs}) > 1:
        raise RunError(f"The runs in {out} read different features or words; name another folder by --out.")
