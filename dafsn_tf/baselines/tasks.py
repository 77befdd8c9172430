"""Runs that are each made once, whatever interrupts the work: what `compare` and `ablate` have in common."""

import glob
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dafsn_tf.config import Config, load_config, preset_names
from dafsn_tf.data.items import SPLITS
from dafsn_tf.data.manifest import Manifest
from dafsn_tf.errors import DataError, RunError
from dafsn_tf.files import write_json

Record = dict[str, Any]  # contents of a run's JSON, see `record.run_record`


class Exhausted(Exception):
    """An allowance has been used up."""


@dataclass
class Allowance:
    """How many models a process trains: TensorFlow keeps 0.1 to 0.3 GB of every one.

    Attributes:
        most: the limit; None is none.
        trained: of them so far.
    """

    most: int | None = None
    trained: int = 0

    def take(self) -> None:
        """Count a model that is to be trained now.

        Raises:
            Exhausted: it would be one too many.
        """
        if self.most is not None and self.trained >= self.most:
            raise Exhausted
        self.trained += 1


@dataclass(frozen=True)
class Comparison:
    """What a folder of runs holds of a comparison.

    Attributes:
        runs: contents of the runs' files.
        missing: runs that are still to be made, in words.
        skipped: methods that cannot run on a collection, with the reason.
        left: how many runs were asked for and not made, `at_most` models having been trained before.
    """

    runs: list[Record]
    missing: list[str]
    skipped: list[str]
    left: int = 0


@dataclass(frozen=True)
class Task:
    """A run of a method on a collection with a seed, its protocol, and the file that says that it is done."""

    method: str
    data: Path
    collection: str
    protocol: str
    seed: int
    file: Path

    def __str__(self) -> str:
        return f"{self.method} on {self.collection}, seed {self.seed}"


def collection_name(manifest: Manifest) -> str:
    """Return what files of a collection are named by: its name, and its digest's first digits to tell its splits."""
    return f"{manifest.name}-{manifest.digest[:8]}"


def read_splits(data: Sequence[str | Path]) -> dict[Path, Manifest]:
    """Return the manifests of folders that are splits of one collection.

    Raises:
        DataError: they are of several collections, or one lacks a split.
    """
    manifests = {folder: Manifest.read(folder) for folder in map(Path, data)}
    for folder, manifest in manifests.items():
        for split in SPLITS:
            if not manifest.splits[split].num_images:
                raise DataError(f"{folder} has no split '{split}'; a comparison needs {', '.join(SPLITS)}.")
    names = {manifest.name for manifest in manifests.values()}
    if len(names) != 1:
        raise DataError(f"--data names splits of one collection; found {', '.join(sorted(names)) or 'none'}.")
    return manifests


def preset_of(manifests: dict[Path, Manifest]) -> Config:
    """Return the preset of the layout that a collection was read from, or `default`."""
    preset = next(iter(manifests.values())).source.replace("-", "_")
    return load_config(preset if preset in preset_names() else "default")


def tasks_of(methods: Sequence[str], data: Path, manifest: Manifest, seeds: Sequence[int], out: Path) -> list[Task]:
    """Return the tasks of a collection: of each method with these seeds, and with all seeds that `out` has runs of."""
    collection, protocol = collection_name(manifest), "document" if manifest.documents else "sentence"
    found = {int(file.stem.rpartition("-")[2]) for file in out.glob(f"*-{glob.escape(collection)}-*.json")}
    return [
        Task(method, data, collection, protocol, seed, out / f"{method}-{collection}-{seed}.json")
        for method in methods
        for seed in sorted({*seeds, *found})
    ]


def read_record(task: Task, config: Config | None) -> Record:
    """Return the record of a task that is done.

    Raises:
        RunError: the run is of another protocol, or `config` is given, and the run was made with another.
    """
    record = json.loads(task.file.read_text(encoding="utf-8"))
    found = record["per_query"]["protocol"]
    if found != task.protocol:
        raise RunError(
            f"{task.file} is of protocol '{found}', {task.data} is prepared for '{task.protocol}'; name another --out."
        )
    if config is not None and Config.from_dict(record["settings"], where=str(task.file)) != config:
        raise RunError(f"{task.file} was made with another configuration; name that by --config, or another --out.")
    return record


def completed(
    tasks: Sequence[Task],
    asked: Sequence[Task],
    config_of: Callable[[Task], Config | None],
    make: Callable[[Task], Record],
    write: Callable[[str], None],
    skipped: list[str],
    apart: str = "",
) -> Comparison:
    """Make the runs that are asked for and not done, and return what there then is of all tasks.

    Args:
        tasks: all of a comparison.
        asked: those to make.
        config_of: what a task's run must have been made with, see `read_record`.
        make: makes a run and returns its record; what is left stays so where it raises `Exhausted`.
        write: receives progress, a line at a time.
        skipped: methods that cannot run, with the reason.
        apart: what the time left does not hold, in words that follow it.

    Raises:
        RunError: a run was made with another configuration.
    """

    def read() -> list[Record]:
        return [read_record(task, config_of(task)) for task in tasks if task.file.exists()]

    _make_runs(asked, read(), make, write, apart)
    left = sum(not task.file.exists() for task in asked)
    return Comparison(read(), [str(task) for task in tasks if not task.file.exists()], skipped, left)


def _make_runs(
    tasks: Sequence[Task],
    found: Sequence[Record],
    make: Callable[[Task], Record],
    write: Callable[[str], None],
    apart: str,
) -> None:
    """Make the first runs of tasks that are not done, in their order; `found` tells how long such runs take."""
    tasks = [task for task in tasks if not task.file.exists()]
    seconds = {run["method"]: run["seconds"] for run in found}
    for number, task in enumerate(tasks, start=1):
        write(f"[{number}/{len(tasks)}] {task}")
        began = time.monotonic()
        try:
            record = make(task)
        except Exhausted:
            break
        write_json(task.file, record)
        seconds[task.method] = record["seconds"]
        usual = sum(seconds.values()) / len(seconds)
        left = sum(seconds.get(later.method, usual) for later in tasks[number:])
        write(
            f"[{number}/{len(tasks)}] {task}: validation {record['validation']:.3f}, "
            f"{(time.monotonic() - began) / 60:.1f} min; about {left / 60:.0f} min left{apart}"
        )
