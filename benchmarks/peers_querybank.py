"""How much would a peer gain by DAFSN's querybank? See RESULTS.md, compare-flickr8k and compare-pascal-sentence.

    dafsn compare --data DATA --config CONFIG --methods cca --only cca --out RUNS
    python benchmarks/peers_querybank.py DATA RUNS --config CONFIG --methods cca

A peer's cosines are held against a bank of training texts and images, as DAFSN's are: the same centres, sharpnesses and
weights are tried, and chosen on validation by the same metric. It is fitted anew with the settings that validation had
chosen for it. RUNS gets one JSON more for each of its runs on DATA, of the method `cca_with_querybank`; one that is
there is not made again.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from dafsn_tf.baselines.inputs import Inputs, Split
from dafsn_tf.baselines.method import Cosines, Surroundings, digest_of
from dafsn_tf.baselines.methods import METHODS
from dafsn_tf.baselines.neural import validation_value
from dafsn_tf.baselines.record import run_record
from dafsn_tf.config import load_config
from dafsn_tf.errors import DafsnError, RunError
from dafsn_tf.evaluation.querybank import fit_bank
from dafsn_tf.evaluation.scoring import sentence_scores
from dafsn_tf.files import write_json
from dafsn_tf.layers.querybank import QuerybankNormalization
from dafsn_tf.layers.unit_vectors import unit_vectors

METHODS_OF_COSINES = ("cca", "acmr", "dscmr", "vsepp")  # only cosines can be held against a bank
WITH = "_with_querybank"


def with_querybank(run: dict[str, Any], inputs: Inputs, folder: Path, write: Any = print) -> dict[str, Any]:
    """Return the record of a peer's run with a querybank.

    Args:
        run: the record of the run without one.
        inputs: of its collection.
        folder: for what a long training goes on from.
        write: receives progress, a line at a time.
    """
    began, evaluation, method = time.monotonic(), inputs.config.evaluation, METHODS[run["method"]]
    train, validation = inputs.open("train"), inputs.open("validation")
    settings = type(method.grid[0])(**run["settings"])
    scorer = method.fit(train, validation, settings, run["seed"], Surroundings(folder, write))
    assert isinstance(scorer, Cosines)
    training, shown = (_unit(scorer.embed(split)) for split in (train.first_texts(1), validation))
    bank = QuerybankNormalization(inputs.config.model.querybank_size, shown[0].shape[1])
    bank.build()
    base = sentence_scores(*shown)
    fit_bank(bank, training, shown, base, validation.collection, evaluation.fusion_metric, write)

    def scores(split: Split) -> np.ndarray:
        texts, images = scorer.embed(split)
        return sentence_scores(bank.texts(texts).numpy(), bank.images(images).numpy())

    test = inputs.open("test")
    return run_record(
        method.name + WITH,
        run["seed"],
        {**run["settings"], "querybank_size": bank.centres},
        validation_value(scores, validation),
        time.monotonic() - began,
        {"score": scores(test)},
        test.records.manifest,
        test.collection,
        inputs=inputs.describe(),
        settings_chosen_on=run["settings_chosen_on"],
    )


def _unit(sides: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    texts, images = (unit_vectors(rows).numpy() for rows in sides)
    return texts, images


def main() -> None:
    """Parse the command line and make the runs that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a prepared collection")
    parser.add_argument("runs", type=Path, help="the folder of `dafsn compare` with the peers' runs on it")
    parser.add_argument("--config", default="default", help="DAFSN's preset or TOML file of that comparison")
    parser.add_argument("--methods", nargs="+", default=["cca"], choices=METHODS_OF_COSINES)
    options = parser.parse_args()
    config = load_config(options.config)
    if not config.model.querybank_size:
        raise RunError(f"--config {options.config} has no querybank: name one with a model.querybank_size.")
    inputs = Inputs(options.data, config)
    for method in options.methods:
        files = sorted(options.runs.glob(f"{method}-*-{inputs.manifest.digest[:8]}-*.json"))
        if not files:
            raise RunError(f"No run of {method} on {options.data} in {options.runs}; make one by dafsn compare.")
        for file in files:
            target = file.with_name(file.name.replace(method, method + WITH, 1))
            run = json.loads(file.read_text(encoding="utf-8"))
            if run["inputs"] != inputs.describe():
                raise RunError(f"{file} was made on other features or words than --config {options.config} reads.")
            if not target.exists():
                digest = digest_of(run["settings"], run["inputs"], config.evaluation)
                write_json(target, with_querybank(run, inputs, target.with_name(f"{target.stem}-{digest}")))
            print(target, flush=True)


if __name__ == "__main__":
    try:
        main()
    except (DafsnError, OSError) as error:
        sys.exit(f"error: {error}")
