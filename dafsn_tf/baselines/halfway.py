"""Where a peer's training stands, kept in a file so that an interrupted one goes on as if it had not been."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from dafsn_tf.errors import RunError
from dafsn_tf.files import written_aside

STORE_EVERY = 60.0  # seconds


@dataclass(frozen=True)
class Halfway:
    """A training between two epochs.

    Attributes:
        epochs: that are done.
        best: validation value so far.
        chosen: weights of the epoch that validation has chosen so far.
    """

    epochs: int
    best: float
    chosen: list[np.ndarray]


def store(file: Path, halfway: Halfway, variables: Sequence[Any]) -> None:
    """Write where a training stands, with all variables of its model (seeds of dropout too) and optimizer."""
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {f"variable_{number}": np.asarray(variable) for number, variable in enumerate(variables)}
    arrays |= {f"chosen_{number}": array for number, array in enumerate(halfway.chosen)}
    with written_aside(file) as aside, aside.open("wb") as stream:
        np.savez(stream, epochs=halfway.epochs, best=halfway.best, **arrays)


def restore(file: Path, variables: Sequence[Any]) -> Halfway:
    """Return where a training stood and give the variables the values that they had.

    Raises:
        RunError: the file is damaged, or of another version's model.
    """
    try:
        with file.open("rb") as stream, np.load(stream) as found:
            arrays = dict(found)
        stored, chosen = (
            [arrays[name] for name in arrays if name.startswith(kind)] for kind in ("variable_", "chosen_")
        )
        halfway = Halfway(int(arrays["epochs"]), float(arrays["best"]), chosen)
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        raise RunError(f"{file} is damaged: {error}. Remove it, and that training begins anew.") from error
    if [array.shape for array in stored] != [tuple(variable.shape) for variable in variables]:
        raise RunError(f"{file} is of another version's model. Remove it, and that training begins anew.")
    for variable, array in zip(variables, stored, strict=True):
        variable.assign(array)
    return halfway
