"""Runs of the ablations: every run once, whatever interrupts the work.

OUT/
  ABLATION-COLLECTION-SEED.json  a run: settings, validation value, test metrics, values of each query, modality gap,
                                 norms of the gradients in each epoch
  ABLATION-COLLECTION-SEED/      its run folder
"""

import csv
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dafsn_tf.baselines.ablations import ABLATIONS, ablations_of
from dafsn_tf.baselines.package_model import trained_run
from dafsn_tf.baselines.record import run_record
from dafsn_tf.baselines.tasks import (
    Allowance,
    Comparison,
    Record,
    Task,
    collection_name,
    completed,
    preset_of,
    read_splits,
    tasks_of,
)
from dafsn_tf.config import Config
from dafsn_tf.data.records import open_split
from dafsn_tf.errors import ConfigError
from dafsn_tf.evaluation.evaluate import split_scores
from dafsn_tf.evaluation.modality_gap import modality_gap
from dafsn_tf.models.game import GRADIENTS
from dafsn_tf.runs import check_makeable, split_features


def ablate(
    data: Sequence[str | Path],
    out: str | Path,
    *,
    seeds: Sequence[int] = (0,),
    only: Sequence[str] = (),
    config: Config | None = None,
    at_most: int | None = None,
    write: Callable[[str], None] = print,
) -> Comparison:
    """Make the runs of the ablations that `out` lacks, and return all that it then holds of these collections.

    Args:
        data: a prepared collection, or several that are splits of one.
        out: folder of the runs, see above.
        seeds: of each ablation.
        only: make the runs of these ablations alone, of `ABLATIONS`' names.
        config: the full model's configuration; by default the preset of the collection's layout, or `default`.
        at_most: models to train now: TensorFlow keeps 0.1 to 0.3 GB of every one. None makes all.
        write: receives progress, a line at a time.

    Raises:
        ConfigError, DataError, RunError, WeightsError: what the user can mend.
    """
    for name in only:
        if name not in ABLATIONS:
            raise ConfigError(f"There is no ablation '{name}'. Known: {', '.join(ABLATIONS)}.")
    manifests, out = read_splits(data), Path(out)
    config = config or preset_of(manifests)
    check_makeable(out, "folder of runs")
    out.mkdir(parents=True, exist_ok=True)
    tasks: list[Task] = []
    skipped: list[str] = []
    configs: dict[str, Config] = {}
    for folder, manifest in manifests.items():
        chosen, left_out = ablations_of(config, len(manifest.classes))
        skipped += [f"{name} on {collection_name(manifest)}: {reason}" for name, reason in left_out.items()]
        tasks += tasks_of(list(chosen), folder, manifest, seeds, out)
        configs |= chosen

    allowance = Allowance(at_most)

    def make(task: Task) -> Record:
        allowance.take()
        return _record(task, configs[task.method], write)

    asked = [task for task in tasks if task.seed in seeds and task.method in (only or ABLATIONS)]
    return completed(tasks, asked, lambda task: configs[task.method], make, write, skipped)


def _record(task: Task, config: Config, write: Callable[[str], None]) -> Record:
    run = trained_run(config, task.data, task.file.with_suffix(""), task.seed, write)
    result, began = run.info["result"], time.monotonic()
    records = open_split(task.data, "test")
    embeddings, scores = split_scores(run, records, split_features(run, task.data, records, write), write)
    return run_record(
        task.method,
        task.seed,
        config.to_dict(),
        result["selection"],
        result["seconds"] + time.monotonic() - began,
        scores,
        records.manifest,
        embeddings.collection,
        modality_gap=modality_gap(*embeddings.learned(config.model.dim), embeddings.collection.text_image),
        **_gradients(run.path),
    )


def _gradients(run: Path) -> dict[str, list[float]]:
    """Return the norms of both players' gradients, means of each epoch, of a run's folder."""
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    return {name: [float(row[name]) for row in rows] for name in GRADIENTS}
