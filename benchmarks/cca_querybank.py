"""How much would a peer gain by DAFSN's querybank? See RESULTS.md, compare-flickr8k and compare-pascal-sentence.

    dafsn compare --data DATA --config CONFIG --methods cca --only cca --out RUNS
    python benchmarks/cca_querybank.py DATA RUNS --config CONFIG

CCA's cosines are held against a bank of training texts and images, as DAFSN's are: the same centres, sharpnesses and
weights are tried, and chosen on validation by the same metric. Settings are those that validation had chosen for CCA.
RUNS gets one JSON more for each run of CCA on DATA, of the method `cca_with_querybank`; one that is there is not made
again.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from dafsn_tf.baselines.cca import Projections, Settings
from dafsn_tf.baselines.inputs import Inputs, Split
from dafsn_tf.baselines.neural import validation_value
from dafsn_tf.baselines.record import run_record
from dafsn_tf.config import load_config
from dafsn_tf.errors import DafsnError, RunError
from dafsn_tf.evaluation.querybank import fit_bank
from dafsn_tf.evaluation.scoring import sentence_scores
from dafsn_tf.files import write_json
from dafsn_tf.layers.querybank import QuerybankNormalization
from dafsn_tf.layers.unit_vectors import unit_vectors

METHOD = "cca_with_querybank"


def with_querybank(run: dict[str, Any], inputs: Inputs, write: Any = print) -> dict[str, Any]:
    """Return the record of a run of CCA with a querybank."""
    began, evaluation = time.monotonic(), inputs.config.evaluation
    train, validation = inputs.open("train"), inputs.open("validation")
    projections = Projections(train, Settings(**run["settings"]), run["seed"])
    training, shown = (_unit(projections(split)) for split in (train.first_texts(1), validation))
    bank = QuerybankNormalization(inputs.config.model.querybank_size, shown[0].shape[1])
    bank.build()
    base = sentence_scores(*shown)
    fit_bank(bank, training, shown, base, validation.collection, evaluation.fusion_metric, write)

    def scores(split: Split) -> np.ndarray:
        texts, images = projections(split)
        return sentence_scores(bank.texts(texts).numpy(), bank.images(images).numpy())

    test = inputs.open("test")
    return run_record(
        METHOD,
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
    parser.add_argument("runs", type=Path, help="the folder of `dafsn compare` with CCA's runs on it")
    parser.add_argument("--config", default="default", help="DAFSN's preset or TOML file of that comparison")
    options = parser.parse_args()
    inputs = Inputs(options.data, load_config(options.config))
    files = sorted(options.runs.glob(f"cca-*-{inputs.manifest.digest[:8]}-*.json"))
    if not files:
        raise RunError(f"No run of CCA on {options.data} in {options.runs}; make one by dafsn compare.")
    for file in files:
        target = file.with_name(file.name.replace("cca", METHOD, 1))
        run = json.loads(file.read_text(encoding="utf-8"))
        if run["inputs"] != inputs.describe():
            raise RunError(f"{file} was made on other features or words than --config {options.config} reads.")
        if not target.exists():
            write_json(target, with_querybank(run, inputs))
        print(target, flush=True)


if __name__ == "__main__":
    try:
        main()
    except (DafsnError, OSError) as error:
        sys.exit(f"error: {error}")
