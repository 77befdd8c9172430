"""What a search found: a table of its trials, what mattered, and a picture."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dafsn_tf.reporting.tables import aligned
from dafsn_tuner.space import Choice, Space, ordered
from dafsn_tuner.trials import Trial

LEAST_TRIALS = 8  # with fewer, nothing can be said of what mattered
_WITHOUT = "-"  # a field without effect in a trial
_TREES = 200
_AXES = 12  # fields in a row of the picture


def trials_table(trials: Sequence[Trial], space: Space) -> str:
    """Return the trials as a text table, the best first, failed ones last with what went wrong."""
    names = ordered(space)
    rows: list[tuple[str, ...]] = [("trial", "validation", "epochs", *names)]
    for trial in sorted(trials, key=lambda trial: -math.inf if trial.validation is None else trial.validation)[::-1]:
        value = trial.status if trial.validation is None else f"{trial.validation:.4f}"
        cells = (_cell(trial.values.get(name)) for name in names)
        rows.append((str(trial.number), value, str(trial.epochs or _WITHOUT), *cells))
    failed = [f"trial {trial.number} failed: {trial.error}" for trial in trials if trial.status == "failed"]
    return "\n".join([*aligned(rows), *failed])


def best_table(trials: Sequence[Trial], space: Space, count: int = 5) -> str:
    """Return the best trials side by side as a text table, a field a row; no wider than a terminal."""
    done = sorted(
        (trial for trial in trials if trial.validation is not None), key=lambda trial: -(trial.validation or 0)
    )
    best = done[:count]
    rows = [
        ("trial", *(str(trial.number) for trial in best)),
        ("validation", *(f"{trial.validation:.4f}" for trial in best)),
        ("best epoch", *(str(trial.epochs) for trial in best)),
        *((name, *(_cell(trial.values.get(name)) for trial in best)) for name in ordered(space)),
    ]
    return "\n".join(aligned(rows))


def importance(trials: Sequence[Trial], space: Space, seed: int = 0) -> dict[str, float]:
    """Return each field's share of what a forest explains of the trials' values by it, the greatest first.

    A random forest learns the objective from the values of the trials; a field's importance is how much worse it
    explains them with that field's column permuted (Breiman, Random Forests, Machine Learning 2001), as a share of all
    fields' together. A field without effect in a trial has a value of its own there.

    Args:
        trials: all; those without a value are left out.
        space: what was searched.
        seed: of forest and permutations.

    Returns:
        Shares by field, which sum to 1 unless nothing mattered; empty with fewer than `LEAST_TRIALS` values.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    names, done = ordered(space), [trial for trial in trials if trial.validation is not None]
    if len(done) < LEAST_TRIALS:
        return {}
    columns = np.array([[_position(trial.values.get(name), space[name]) for name in names] for trial in done])
    values = np.array([trial.validation for trial in done])
    forest = RandomForestRegressor(_TREES, random_state=seed).fit(columns, values)
    found: Any = permutation_importance(forest, columns, values, n_repeats=20, random_state=seed)
    lost = np.maximum(found.importances_mean, 0.0)
    shares = lost / max(lost.sum(), 1e-12)
    order = np.argsort(-shares, kind="stable")
    return {names[index]: round(float(shares[index]), 4) for index in order}


def parallel_coordinates(trials: Sequence[Trial], space: Space, path: Path) -> None:
    """Draw each trial as a line through its values, darker and on top the better it is; PNG or SVG by the name.

    Args:
        trials: all; those without a value are left out.
        space: the axes, in as many rows as they need; at the right of each row the objective.
        path: file to write.
    """
    from matplotlib.figure import Figure

    names = ordered(space)
    done = sorted((trial for trial in trials if trial.validation is not None), key=lambda trial: trial.validation or 0)
    count = math.ceil(len(names) / _AXES)
    size = math.ceil(len(names) / count)
    figure = Figure(figsize=(max(8.0, 1.2 * (size + 1)), 5.0 * count + 0.5), layout="constrained")
    rows = figure.subplots(count, squeeze=False)[:, 0]
    for number, axes in enumerate(rows):
        _draw_row(axes, done, names[number * size : (number + 1) * size], space)
    best = max(trial.validation or 0.0 for trial in done)
    figure.suptitle(f"{len(done)} trials, the best of them dark: validation {best:.3f}")
    figure.savefig(path, dpi=120)


def _draw_row(axes: Any, done: Sequence[Trial], names: Sequence[str], space: Space) -> None:
    from matplotlib import colormaps, patheffects

    values = [trial.validation or 0.0 for trial in done]
    least, most = min(values), max(values)
    for trial, value in zip(done, values, strict=True):
        height = (value - least) / ((most - least) or 1.0)
        points = [_position(trial.values.get(name), space[name]) for name in names] + [height]
        color = colormaps["viridis_r"](0.15 + 0.85 * height)  # its lightest yellow is not seen on white
        axes.plot(points, color=color, alpha=0.5 + 0.5 * height, linewidth=1 + 2 * height)
    labels = [(column, *tick) for column, name in enumerate(names) for tick in _ticks(space[name])]
    labels += [(len(names), 0.0, f"{least:.3f}"), (len(names), 1.0, f"{most:.3f}")]
    for column, position, label in labels:
        text = axes.annotate(label, (column, position), xytext=(3, 0), textcoords="offset points", fontsize=8)
        text.set_path_effects([patheffects.withStroke(linewidth=3, foreground="white")])
        text.set_zorder(3)
    axes.set_xticks(range(len(names) + 1), [*(name.replace(".", ".\n") for name in names), "validation"], fontsize=8)
    axes.set_yticks([-0.15], ["without effect"], fontsize=8)
    axes.set_xlim(-0.1, len(names) + 0.4)
    axes.set_ylim(-0.2, 1.05)
    axes.grid(axis="x", color="0.8")
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def _cell(value: Any) -> str:
    if value is None:
        return _WITHOUT
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _position(value: Any, values: Any) -> float:
    """Return where a value lies in its range, [0, 1]; below 0 where it has no effect."""
    if value is None:
        return -0.15
    if isinstance(values, Choice):
        return values.values.index(value) / max(len(values.values) - 1, 1)
    scale = math.log if values.log else float
    return (scale(value) - scale(values.low)) / (scale(values.high) - scale(values.low))


def _ticks(values: Any) -> list[tuple[float, str]]:
    shown = values.values if isinstance(values, Choice) else (values.low, values.high)
    return [(_position(value, values), _cell(value)) for value in shown]
