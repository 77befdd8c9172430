"""Curves of a report: precision against recall and scope, recall@k against k, one line a run and one for chance."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from dafsn_tf.evaluation import curves
from dafsn_tf.evaluation.protocols import DIRECTIONS, Direction
from dafsn_tf.reporting import page
from dafsn_tf.reporting.figure import COLOURS, LINES, PALE, Canvas, Drawing
from dafsn_tf.reporting.measured import Measured
from dafsn_tf.reporting.metric_tables import direction_title

SCOPES = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)  # ranks that the tables and the sentences read
_NAMES = {"image_to_text": ("picture", "texts"), "text_to_image": ("text", "pictures")}


def curves_section(measured: Sequence[Measured], canvas: Canvas) -> str:
    """Return the HTML of the curves, with the figures behind them as tables."""
    classes = measured[0].collection.has_classes
    relevant = "shares a class with the query" if classes else "is the query's own pair"
    parts = [page.paragraph(f"Relevant is what {relevant}; recall@k asks for the query's own pair.")]
    tables = []
    for name, compute, chance, draw in (
        ("precision-recall", _precision_recall, _chance_precision_recall, _draw_precision_recall),
        ("precision-scope", _precision_scope, _chance_precision_scope, _draw_precision_scope),
        ("recall-at-k", _recall_at_k, _chance_recall_at_k, _draw_recall),
    ):
        drawings = []
        for direction in DIRECTIONS:
            lines = {one.name: compute(one.directions[direction]) for one in measured}
            lines["chance"] = chance(measured[0].directions[direction])
            ranks = np.arange(1, len(lines["chance"]) + 1)
            places = curves.RECALL_LEVELS if name == "precision-recall" else ranks
            drawings.append(draw(canvas, name, direction, places, lines))
            tables.append(_table(name, direction, places, lines))
        parts.append(page.panels(drawings))
    return "".join(parts) + page.folded("These curves as tables", "".join(tables))


def _precision_recall(ranked: Direction) -> np.ndarray:
    return curves.precision_at_recall(ranked.scores, ranked.relevant)


def _chance_precision_recall(ranked: Direction) -> np.ndarray:
    return curves.chance_precision_at_recall(ranked.relevant)


def _precision_scope(ranked: Direction) -> np.ndarray:
    return curves.precision_at_scope(ranked.scores, ranked.relevant)


def _chance_precision_scope(ranked: Direction) -> np.ndarray:
    return curves.chance_precision_at_scope(ranked.relevant)


def _recall_at_k(ranked: Direction) -> np.ndarray:
    return curves.recall_curve(ranked.scores, ranked.pairs)


def _chance_recall_at_k(ranked: Direction) -> np.ndarray:
    return curves.chance_recall_curve(ranked.pairs)


def _draw_precision_recall(
    canvas: Canvas, name: str, direction: str, levels: np.ndarray, lines: dict[str, np.ndarray]
) -> Drawing:
    title = f"Precision against recall, {direction_title(direction)}"
    with canvas.axes(title, "recall (share of relevant items found)", "precision (share relevant)") as axes:
        _draw_lines(canvas, axes, levels, lines)
        axes.set_xlim(0, 1)
        first = next(iter(lines))
        middle = len(levels) // 2
        caption = (
            f"The higher a line stays to the right, the better: when {first} has found half of what is relevant, "
            f"{_percent(lines[first][middle])} of what it shows is relevant, "
            f"by chance {_percent(lines['chance'][middle])}."
        )
        return canvas.keep(axes, f"{name}-{direction}", _alt(title, "recall", levels, lines, (0.1, 0.5, 1.0)), caption)


def _draw_precision_scope(
    canvas: Canvas, name: str, direction: str, places: np.ndarray, lines: dict[str, np.ndarray]
) -> Drawing:
    first, k = next(iter(lines)), min(10, len(places))
    caption = (
        f"Of the first {k} {_NAMES[direction][1]} that {first} shows, {_percent(lines[first][k - 1])} are relevant, "
        f"by chance {_percent(lines['chance'][k - 1])}; at the right end everything is shown and all lines meet."
    )
    title = f"Precision within the first k, {direction_title(direction)}"
    return _draw_by_rank(canvas, f"{name}-{direction}", title, "precision (share relevant)", caption, places, lines)


def _draw_recall(
    canvas: Canvas, name: str, direction: str, places: np.ndarray, lines: dict[str, np.ndarray]
) -> Drawing:
    first, k = next(iter(lines)), min(10, len(places))
    caption = (
        f"{first} puts a {_NAMES[direction][0]}'s own match first for {_percent(lines[first][0])} of the queries and "
        f"among the first {k} for {_percent(lines[first][k - 1])}; by chance {_percent(lines['chance'][k - 1])}."
    )
    title = f"Own pair within the first k, {direction_title(direction)}"
    return _draw_by_rank(canvas, f"{name}-{direction}", title, "recall@k (share of queries)", caption, places, lines)


def _draw_by_rank(
    canvas: Canvas, name: str, title: str, figure: str, caption: str, places: np.ndarray, lines: dict[str, np.ndarray]
) -> Drawing:
    """Draw lines over ranks 1 ... gallery, on a logarithmic axis; `figure` is what they show, with its unit."""
    with canvas.axes(title, "k (items shown, log scale)", figure) as axes:
        _draw_lines(canvas, axes, places, lines)
        axes.set_xscale("log")
        axes.set_xlim(1, max(2, len(places)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        return canvas.keep(axes, name, _alt(title, "k", places, lines, (1, 10, 100)), caption)


def _draw_lines(canvas: Canvas, axes: Axes, places: np.ndarray, lines: dict[str, np.ndarray]) -> None:
    marker = "o" if len(places) == 1 else None  # a line through one point is none
    for number, (name, values) in enumerate(lines.items()):
        if name == "chance":
            axes.plot(places, values, color=PALE, linestyle=":", marker=marker, label=name)
        else:
            axes.plot(
                places,
                values,
                color=COLOURS[number % len(COLOURS)],
                linestyle=LINES[number % len(LINES)],
                marker=marker,
                label=name,
            )
    axes.set_ylim(0, 1.02)
    canvas.legend(axes)


def _at(places: np.ndarray, place: float) -> int:
    return int(np.abs(places - place).argmin())


def _alt(title: str, axis: str, places: np.ndarray, lines: dict[str, np.ndarray], read: Sequence[float]) -> str:
    chosen = dict.fromkeys(_at(places, place) for place in read)
    said = [
        f"{name}: " + ", ".join(f"{values[index]:.3f} at {axis} {places[index]:g}" for index in chosen)
        for name, values in lines.items()
    ]
    return f"{title}. {'; '.join(said)}. The table below has more points."


def _table(name: str, direction: str, places: np.ndarray, lines: dict[str, np.ndarray]) -> str:
    if name == "precision-recall":
        chosen = list(range(0, len(places), 2))
    else:
        chosen = [place - 1 for place in SCOPES if place <= len(places)]
    axis = "recall" if name == "precision-recall" else "k"
    rows = [[line, *(f"{values[index]:.3f}" for index in chosen)] for line, values in lines.items()]
    head = [axis, *(f"{places[index]:.2g}" if places[index] < 1 else f"{places[index]:g}" for index in chosen)]
    return page.table(f"{name.replace('-', ' ')}, {direction_title(direction)}", head, rows)


def _percent(share: float) -> str:
    """Return a share in per cent, one decimal more where it would round to none."""
    return f"{share:.1%}" if 0 < share < 0.005 else f"{share:.0%}"
