"""DAFSN and its peers on one collection, or on several splits of one: every run once, whatever interrupts the work.

OUT/
  METHOD-COLLECTION-SEED.json      a run: settings, validation value, test metrics, values of each query
  tuning-METHOD-COLLECTION.json    the settings tried on validation and the choice
  dafsn-COLLECTION-SEED/           DAFSN's run folder
  damsm-COLLECTION-settingK-SEED/  DAMSM's
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dafsn_tf.baselines.methods import METHODS
from dafsn_tf.baselines.trial import Trials, collection_name
from dafsn_tf.config import Config, load_config, preset_names
from dafsn_tf.data.items import SPLITS
from dafsn_tf.data.manifest import Manifest
from dafsn_tf.errors import ConfigError, DataError, RunError
from dafsn_tf.runs import write_json

NAMES = ("dafsn", *METHODS)


@dataclass(frozen=True)
class Comparison:
    """What a folder of runs holds of a comparison.

    Attributes:
        runs: contents of the runs' files.
        missing: runs that are still to be made, in words.
        skipped: methods that cannot run on a collection, with the reason.
    """

    runs: list[dict[str, Any]]
    missing: list[str]
    skipped: list[str]


@dataclass(frozen=True)
class _Task:
    method: str
    data: Path
    collection: str
    seed: int
    file: Path

    def __str__(self) -> str:
        return f"{self.method} on {self.collection}, seed {self.seed}"


def compare(
    data: Sequence[str | Path],
    out: str | Path,
    *,
    methods: Sequence[str] = NAMES,
    seeds: Sequence[int] = (0,),
    only: Sequence[str] = (),
    config: Config | None = None,
    write: Callable[[str], None] = print,
) -> Comparison:
    """Make the runs that `out` lacks, and return all that it then holds of these methods and collections.

    Args:
        data: a prepared collection, or several that are splits of one.
        out: folder of the runs, see above.
        methods: names from `NAMES`.
        seeds: of each method; tuning has seed 0.
        only: make the runs of these methods alone.
        config: DAFSN's configuration; by default the preset of the collection's name, or `default`. Its image and text
            sections say what features and words every method reads.
        write: receives progress, a line at a time.

    Raises:
        ConfigError, DataError, RunError, WeightsError: what the user can mend.
    """
    for name in (*methods, *only):
        if name not in NAMES:
            raise ConfigError(f"There is no method '{name}'. Known: {', '.join(NAMES)}.")
    folders, out = [Path(folder) for folder in data], Path(out)
    manifests = {folder: _manifest(folder) for folder in folders}
    names = {manifest.name for manifest in manifests.values()}
    if len(names) != 1:
        raise DataError(f"--data names splits of one collection; found {', '.join(sorted(names)) or 'none'}.")
    config = config or load_config(_preset(*names))
    out.mkdir(parents=True, exist_ok=True)

    tasks, skipped = [], []
    for folder, manifest in manifests.items():
        collection = collection_name(manifest)
        for method in methods:
            if method in METHODS and METHODS[method].needs_labels and not manifest.classes:
                skipped.append(f"{method} on {collection}: it learns from classes, and the collection has none")
                continue
            for seed in sorted({*seeds, *_seeds_found(out, collection)}):
                tasks.append(_Task(method, folder, collection, seed, out / f"{method}-{collection}-{seed}.json"))
    found = [_read(task, config) for task in tasks if task.file.exists()]
    asked = [task for task in tasks if task.seed in seeds and task.method in (only or methods)]
    _run([task for task in asked if not task.file.exists()], found, config, out, write)
    runs = [_read(task, config) for task in tasks if task.file.exists()]
    if len({json.dumps(run["inputs"], sort_keys=True) for run in runs}) > 1:
        raise RunError(f"The runs in {out} read different features or words; name another folder by --out.")
    return Comparison(runs, [str(task) for task in tasks if not task.file.exists()], skipped)


def _manifest(data: Path) -> Manifest:
    manifest = Manifest.read(data)
    for split in SPLITS:
        if not manifest.splits[split].num_images:
            raise DataError(f"{data} has no split '{split}'; a comparison needs {', '.join(SPLITS)}.")
    return manifest


def _preset(name: str) -> str:
    preset = name.replace("-", "_")
    return preset if preset in preset_names() else "default"


def _seeds_found(out: Path, collection: str) -> set[int]:
    return {int(file.stem.rpartition("-")[2]) for file in out.glob(f"*-{collection}-*.json")}


def _read(task: _Task, config: Config) -> dict[str, Any]:
    run = json.loads(task.file.read_text(encoding="utf-8"))
    if task.method == "dafsn" and Config.from_dict(run["settings"], where=str(task.file)) != config:
        raise RunError(f"{task.file} was made with another configuration; name that by --config, or another --out.")
    return run


def _run(
    tasks: Sequence[_Task], found: Sequence[dict[str, Any]], config: Config, out: Path, write: Callable[[str], None]
) -> None:
    """Make the runs of all tasks, one collection after the other."""
    seconds = {run["method"]: run["seconds"] for run in found}
    trials = None
    for number, task in enumerate(tasks, start=1):
        write(f"[{number}/{len(tasks)}] {task}")
        if trials is None or trials.data != task.data:
            trials = Trials(task.data, config, out, write)
        began = time.monotonic()
        record = trials.dafsn(task.seed) if task.method == "dafsn" else trials.peer(METHODS[task.method], task.seed)
        write_json(task.file, record)
        seconds[task.method] = record["seconds"]
        usual = sum(seconds.values()) / len(seconds)
        left = sum(seconds.get(later.method, usual) for later in tasks[number:])
        write(
            f"[{number}/{len(tasks)}] {task}: validation {record['validation']:.3f}, "
            f"{(time.monotonic() - began) / 60:.1f} min; about {left / 60:.0f} min left, choices of settings apart"
        )
