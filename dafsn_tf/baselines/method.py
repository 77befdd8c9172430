"""What a method of the comparison is."""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from dafsn_tf.baselines.inputs import Split
from dafsn_tf.evaluation.scoring import sentence_scores

BUDGET = 16  # settings that every method may try on validation, no method more; the best once more, see `longer`

Scorer = Callable[[Split], np.ndarray]  # scores (N, B) of all texts and images of a split, larger is better


@dataclass(frozen=True)
class Cosines:
    """The scorer of a method whose scores are cosines.

    Attributes:
        embed: returns the texts (N, D) and images (B, D) of a split, of any length.
    """

    embed: Callable[[Split], tuple[np.ndarray, np.ndarray]]

    def __call__(self, split: Split) -> np.ndarray:
        """Return scores (N, B)."""
        return sentence_scores(*self.embed(split))


@dataclass(frozen=True)
class Surroundings:
    """Where a method works.

    Attributes:
        folder: for what a long training goes on from; made by the method that needs it.
        write: receives progress, a line at a time.
    """

    folder: Path
    write: Callable[[str], None]


@dataclass(frozen=True)
class Axis:
    """A line along which settings can be moved.

    Attributes:
        names: fields that hold one value together, most often one field.
        values: that they may hold, in order.
    """

    names: tuple[str, ...]
    values: tuple[float, ...]

    def neighbours(self, settings: Any) -> Iterator[Any]:
        """Yield settings one step to either side; none where they do not stand on the line."""
        held = {getattr(settings, name) for name in self.names}
        if len(held) == 1 and (value := held.pop()) in self.values:
            place = self.values.index(value)
            for step in (place - 1, place + 1):
                if 0 <= step < len(self.values):
                    yield replace(settings, **dict.fromkeys(self.names, self.values[step]))


@dataclass(frozen=True)
class Method:
    """A peer of DAFSN.

    Attributes:
        name: as the command line names it.
        fit: takes the training and the validation split, settings, seed and surroundings; returns a scorer. It reads no
            other split.
        grid: settings that validation tries first.
        axes: along which the best of them is moved as long as validation likes that better, those that matter most
            first; see `tuning.tune`.
        needs_labels: whether it learns from classes.
    """

    name: str
    fit: Callable[[Split, Split, Any, int, Surroundings], Scorer]
    grid: tuple[Any, ...]
    axes: tuple[Axis, ...] = ()
    needs_labels: bool = False

    def neighbours(self, settings: Any) -> list[Any]:
        """Return the settings one step away along an axis."""
        return [neighbour for axis in self.axes for neighbour in axis.neighbours(settings)]


def epochs_of(settings: Any, steps: int) -> int:
    """Return the epochs of a training of `steps` steps an epoch: a small collection gets more, `min_steps` steps."""
    return max(settings.epochs, math.ceil(settings.min_steps / steps))


def longer(settings: Any) -> Any:
    """Return settings with twice the training; None for a method that does not train by epochs."""
    names = {field.name for field in fields(settings)} & {"epochs", "min_steps"}
    return replace(settings, **{name: 2 * getattr(settings, name) for name in names}) if names else None


def digest_of(*parts: Any) -> str:
    """Return eight digits that tell what a training depends on from anything else."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]
