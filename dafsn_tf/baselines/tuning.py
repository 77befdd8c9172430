"""The choice of a method's settings: on validation, with seed 0, stored beside the runs."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dafsn_tf.baselines.inputs import Split
from dafsn_tf.baselines.method import Method, Surroundings
from dafsn_tf.baselines.neural import validation_value
from dafsn_tf.errors import RunError
from dafsn_tf.runs import write_json

SEED = 0


def tune(
    method: Method,
    train: Split,
    validation: Split,
    inputs: dict[str, Any],
    file: Path,
    surroundings: Callable[[Any, int], Surroundings],
) -> Any:
    """Return the settings of a method's grid that validation likes best; of equals the first.

    Every setting tried is written to `file` at once, so that an interrupted choice goes on.

    Args:
        method: with at most `BUDGET` settings.
        train: its training split.
        validation: the split that chooses.
        inputs: what features and words are, see `Inputs.describe`.
        file: JSON with `tried` (settings, validation value and seconds of each) and at the end `chosen`.
        surroundings: of a fit, by its settings and seed.

    Raises:
        RunError: the file tells of other features or words.
    """
    state: dict[str, Any] = {"method": method.name, "seed": SEED, "inputs": inputs, "tried": []}
    if file.exists():
        state = json.loads(file.read_text(encoding="utf-8"))
        if state["inputs"] != inputs:
            raise RunError(f"{file} was chosen on other features or words; name another folder by --out.")
    values = []
    for number, settings in enumerate(method.grid, start=1):
        known = [tried for tried in state["tried"] if tried["settings"] == asdict(settings)]
        if not known:
            here, began = surroundings(settings, SEED), time.monotonic()
            here.write(f"{method.name}: setting {number} of {len(method.grid)} on validation, {settings}")
            value = validation_value(method.fit(train, validation, settings, SEED, here), validation)
            seconds = round(time.monotonic() - began, 1)
            known = [{"settings": asdict(settings), "validation": value, "seconds": seconds}]
            state["tried"] += known
            write_json(file, state)
        values.append(known[0]["validation"])
    chosen = method.grid[values.index(max(values))]
    write_json(file, {**state, "chosen": asdict(chosen)})
    return chosen
