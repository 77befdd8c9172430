"""Runs of this package's own model, for the comparison: DAFSN itself, and DAMSM as one of its configurations."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dafsn_tf.baselines.inputs import Split
from dafsn_tf.config import Config
from dafsn_tf.evaluation.evaluate import split_scores
from dafsn_tf.runs import Run, load_run
from dafsn_tf.training import train


def trained_run(config: Config, data: Path, folder: Path, seed: int, write: Callable[[str], None]) -> Run:
    """Return the run in a folder; it is trained there, gone on with, or taken as it is where it has finished.

    Raises:
        RunError: a run of another configuration, collection or seed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    train(config, data, folder, seed=seed, resume=(folder / "run.json").exists(), write=write)
    return load_run(folder)


def run_scores(run: Run, split: Split) -> dict[str, np.ndarray]:
    """Return the `sentence`, `word` and `fused` scores (N, B) of a split, as `evaluate_run` measures them."""
    return split_scores(run, split.records, split.features)[1]
