"""Figures as text tables."""

from collections.abc import Sequence
from typing import Any

COLUMNS = ("map@all", "map@50", "recall@1", "recall@5", "recall@10", "median_rank")


def metrics_table(evaluation: dict[str, Any]) -> str:
    """Return an evaluation as a text table: one row a protocol, score and direction, chance last."""
    rows: list[tuple[str, ...]] = [("protocol", "score", "direction", *COLUMNS)]
    for protocol, scores in evaluation["protocols"].items():
        named = {**scores, "chance": evaluation["chance"][protocol]}
        for score, directions in named.items():
            for direction, metrics in directions.items():
                rows.append(
                    (protocol, score, direction.replace("_", " "), *(_figure(metrics, name) for name in COLUMNS))
                )
    title = (
        f"{evaluation['dataset']}, {evaluation['split']}: {evaluation['num_images']} images, "
        f"{evaluation['num_texts']} texts, seed {evaluation['seed']}"
    )
    return "\n".join([title, *aligned(rows)])


def pointing_table(attention: dict[str, Any]) -> str:
    """Return `evaluate_attention`'s figures as a text table: attention, its controls and chance; groups of nouns."""
    return "\n".join([f"pointing game, {attention['nouns']} nouns", *aligned(pointing_rows(attention))])


def pointing_rows(attention: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the rows of that table, the heading first."""
    groups = tuple(attention["chance_of"])
    chance = {"pointing_game": attention["chance"], **attention["chance_of"]}
    named = {"attention": attention, **attention["controls"], "chance": chance}
    heading = ("peak of", "all", *(group.replace("_", " ") for group in groups))
    return [
        heading,
        *(
            (name.replace("_", " "), *(f"{figures[group]:.3f}" for group in ("pointing_game", *groups)))
            for name, figures in named.items()
        ),
    ]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, its first row the heading, with a rule below it."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]


def _figure(metrics: dict[str, float], name: str) -> str:
    value = metrics.get(name)
    if value is None:
        return "-"
    return f"{value:.1f}" if name == "median_rank" else f"{value:.3f}"
