"""The choice of a method's settings: on validation, with seed 0, stored beside the runs."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from dafsn_tf.baselines.inputs import Split
from dafsn_tf.baselines.method import BUDGET, Method, Scorer, Surroundings, longer
from dafsn_tf.baselines.neural import validation_value
from dafsn_tf.errors import RunError
from dafsn_tf.files import write_json

SEED = 0


@dataclass(frozen=True)
class Fitted:
    """A method as it was fitted, and the seconds that took."""

    settings: Any
    scorer: Scorer
    seconds: float


class _Untried(Exception):
    """Settings of which a file of choices does not tell."""


def tuning_file(out: Path, method: str, collection: str) -> Path:
    """Return where a folder of runs keeps the choice for a method on a collection."""
    return out / f"tuning-{method}-{collection}.json"


def tune(
    method: Method,
    train: Split,
    validation: Split,
    inputs: dict[str, Any],
    file: Path,
    surroundings: Callable[[Any, int], Surroundings],
) -> tuple[Any, Fitted | None]:
    """Return the settings that validation likes best; of equals the first.

    All of the method's grid are tried, then, one after another, what lies a step beside the best of them along one of
    the method's axes, and so on beside what is better, until nothing there is better or `BUDGET` settings were tried.
    The best are tried once more with twice the training, and stay so where validation likes that better. A grid that
    ends too early, or is trained too briefly for a collection, is no even race.

    With them comes what was fitted with them and `SEED`, unless that was done before, and `file` tells of it alone.

    Every setting tried is written to `file` at once, so that an interrupted choice goes on.

    Args:
        method: with its grid and axes.
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
    visited: list[Any] = []
    best, best_value = None, -math.inf
    most = (BUDGET if method.axes else len(method.grid)) + (longer(method.grid[0]) is not None)

    def value_of(settings: Any) -> float:
        nonlocal best, best_value
        visited.append(settings)
        try:
            value, fitted = _tried(state, settings)["validation"], None
        except _Untried:
            here, began = surroundings(settings, SEED), time.monotonic()
            here.write(f"{method.name}: setting {len(visited)} of at most {most} on validation, {settings}")
            scorer = method.fit(train, validation, settings, SEED, here)
            value, seconds = validation_value(scorer, validation), round(time.monotonic() - began, 1)
            fitted = Fitted(settings, scorer, seconds)
            state["tried"].append({"settings": asdict(settings), "validation": value, "seconds": seconds})
            write_json(file, state)
        if value > best_value:
            best, best_value = fitted, value
        return value

    chosen = _choice(method, value_of)
    # as this version names them, without what an earlier one tried beside
    state["tried"] = [{**_tried(state, settings), "settings": asdict(settings)} for settings in dict.fromkeys(visited)]
    write_json(file, {**state, "chosen": asdict(chosen)})
    return chosen, best if best and best.settings == chosen else None


def check_choice(method: Method, settings: dict[str, Any], file: Path) -> None:
    """Refuse a run whose settings `tune` chooses otherwise now: an earlier version had another grid, or tried less.

    Args:
        method: of the run.
        settings: of the run, as its file holds them.
        file: what `tune` wrote; where there is none, nothing is known of the choice and nothing refused.

    Raises:
        RunError: the settings were chosen otherwise.
    """
    if not file.exists():
        return
    state = json.loads(file.read_text(encoding="utf-8"))
    try:
        chosen = _choice(method, lambda settings: _tried(state, settings)["validation"])
    except _Untried:
        found = "not all settings that this version tries had been tried"
    else:
        if _same(chosen, settings):
            return
        found = f"they were {settings}, and validation chooses {asdict(chosen)}"
    raise RunError(
        f"The settings of a run of {method.name} were chosen otherwise: {found} ({file}). Remove the run's JSON to "
        "make it anew, or name another folder by --out."
    )


def _choice(method: Method, value_of: Callable[[Any], float]) -> Any:
    """Return the settings of the largest value; of equals the first."""
    values = {settings: value_of(settings) for settings in method.grid}
    best = max(values, key=values.__getitem__)
    while len(values) < BUDGET and (near := [beside for beside in method.neighbours(best) if beside not in values]):
        values[near[0]] = value_of(near[0])
        best = max(values, key=values.__getitem__)
    more = longer(best)
    return more if more is not None and value_of(more) > values[best] else best


def _same(settings: Any, stored: dict[str, Any]) -> bool:
    """Return whether a file holds these settings; of a version that lacked a field, its default stands in."""
    defaults = {field.name: field.default for field in fields(settings) if field.default is not MISSING}
    return asdict(settings) == {**defaults, **stored}


def _tried(state: dict[str, Any], settings: Any) -> dict[str, Any]:
    """Return what is stored of the try of some settings.

    Raises:
        _Untried: they have not been tried.
    """
    for tried in state["tried"]:
        if _same(settings, tried["settings"]):
            return tried
    raise _Untried
