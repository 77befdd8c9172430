"""The choice of a method's settings: on validation, with seed 0, stored beside the runs."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dafsn_tf.baselines.inputs import Split
from dafsn_tf.baselines.method import Method, Scorer, Surroundings
from dafsn_tf.baselines.neural import validation_value
from dafsn_tf.errors import RunError
from dafsn_tf.runs import write_json

SEED = 0


@dataclass(frozen=True)
class Fitted:
    """A method as it was fitted, and the seconds that took."""

    settings: Any
    scorer: Scorer
    seconds: float


def tune(
    method: Method,
    train: Split,
    validation: Split,
    inputs: dict[str, Any],
    file: Path,
    surroundings: Callable[[Any, int], Surroundings],
) -> tuple[Any, Fitted | None]:
    """Return the settings of a method's grid that validation likes best; of equals the first.

    With them comes what was fitted with them and `SEED`, unless that was done before, and `file` tells of it alone.

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
    values: list[float] = []
    best: Fitted | None = None
    for number, settings in enumerate(method.grid, start=1):
        known = [tried for tried in state["tried"] if tried["settings"] == asdict(settings)]
        if not known:
            here, began = surroundings(settings, SEED), time.monotonic()
            here.write(f"{method.name}: setting {number} of {len(method.grid)} on validation, {settings}")
            scorer = method.fit(train, validation, settings, SEED, here)
            value = validation_value(scorer, validation)
            seconds = round(time.monotonic() - began, 1)
            if value > max(values, default=-math.inf):
                best = Fitted(settings, scorer, seconds)
            known = [{"settings": asdict(settings), "validation": value, "seconds": seconds}]
            state["tried"] += known
            write_json(file, state)
        values.append(known[0]["validation"])
    chosen = method.grid[values.index(max(values))]
    write_json(file, {**state, "chosen": asdict(chosen)})
    return chosen, best if best and best.settings == chosen else None
