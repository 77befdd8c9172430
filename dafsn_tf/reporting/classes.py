"""Classes of a report: how well each is found, and which are found for which."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from dafsn_tf.data.records import RecordSplit
from dafsn_tf.evaluation.breakdown import class_average_precision, retrieved_classes
from dafsn_tf.evaluation.protocols import DIRECTIONS
from dafsn_tf.reporting import page
from dafsn_tf.reporting.figure import COLOURS, HEIGHT, MARKERS, Canvas, Drawing
from dafsn_tf.reporting.measured import Measured
from dafsn_tf.reporting.metric_tables import direction_title

MATRIX_HEIGHT = 5.0  # inches: about square beside its class names
_APART = 0.22  # of a row, between runs
MOST = 30  # classes of a figure; of more, the ones with the lowest MAP


@dataclass(frozen=True)
class ClassFigure:
    """One class of a split.

    Attributes:
        index: among the collection's classes.
        name: of the class.
        pictures: that have it.
        precision: direction -> MAP@all of its queries.
    """

    index: int
    name: str
    pictures: int
    precision: dict[str, float]

    @property
    def mean(self) -> float:
        """MAP@all, the mean of both directions."""
        return float(np.mean(list(self.precision.values())))


def class_figures(one: Measured, records: RecordSplit) -> list[ClassFigure]:
    """Return the classes that have a query, in the collection's order; none where it has no classes."""
    labels = one.collection.labels
    if not one.collection.has_classes or labels is None:
        return []
    precision = {name: class_average_precision(ranked, labels) for name, ranked in one.directions.items()}
    counts = (labels > 0).sum(axis=0)
    return [
        ClassFigure(index, name, int(counts[index]), {side: float(values[index]) for side, values in precision.items()})
        for index, name in enumerate(records.manifest.classes)
        if not any(np.isnan(values[index]) for values in precision.values())
    ]


def classes_section(measured: Sequence[Measured], records: RecordSplit, canvas: Canvas) -> str:
    """Return the HTML of the classes; a collection without any gets a sentence."""
    figures = {one.name: class_figures(one, records) for one in measured}
    first = figures[measured[0].name]
    if not first:
        return page.paragraph(
            "This collection has no classes, so MAP follows pairs and there is nothing to take apart."
        )
    shown = sorted(first, key=lambda of_class: of_class.mean)[:MOST]
    parts = []
    if len(first) > MOST:
        parts.append(page.paragraph(f"Of {len(first)} classes the {MOST} with the lowest MAP are drawn."))
    labels = measured[0].collection.labels
    assert labels is not None
    of_one_class = (labels > 0).sum(axis=1) == 1
    single = [one.name for one in first if one.pictures == 1 and of_one_class[labels[:, one.index] > 0].all()]
    if single:
        parts.append(
            page.paragraph(
                f"One picture alone has the class {', '.join(single)}: its figure is the rank of that single pair."
            )
        )
    parts.append(page.panels([_precision(canvas, direction, shown, figures) for direction in DIRECTIONS]))
    parts.append(page.folded("MAP@all of every class as a table", _table(figures, first)))
    for number, one in enumerate(measured, start=1):
        matrices = [_matrix(canvas, f"{number}-{name}", name, one, shown) for name in DIRECTIONS]
        parts += [page.heading(f"Which classes {one.name} finds for which"), page.panels(matrices)]
    return "".join(parts)


def _labelled(of_class: ClassFigure) -> str:
    name = of_class.name if len(of_class.name) <= 18 else of_class.name[:17] + "…"
    return f"{name} ({of_class.pictures})"


def _precision(
    canvas: Canvas, direction: str, shown: Sequence[ClassFigure], figures: dict[str, list[ClassFigure]]
) -> Drawing:
    title = f"MAP of each class, {direction_title(direction)}"
    with canvas.axes(title, "MAP@all of the class' queries", "class (pictures)", height=_height(shown)) as axes:
        ordered = list(reversed(shown))
        places = {of_class.index: place for place, of_class in enumerate(ordered)}
        for number, (name, of_run) in enumerate(figures.items()):
            points = [(one.precision[direction], places[one.index]) for one in of_run if one.index in places]
            across, down = np.array(points).T
            down = down + _APART * ((len(figures) - 1) / 2 - number)  # so that none hides another
            axes.plot(
                across, down, MARKERS[number % len(MARKERS)], color=COLOURS[number % len(COLOURS)], ms=7, label=name
            )
        axes.set_yticks(range(len(ordered)), [_labelled(one) for one in ordered], fontsize=9)
        axes.set_xlim(0, 1.02)
        axes.set_ylim(-0.7, len(ordered) - 0.3)
        if len(figures) > 1:
            canvas.legend(axes)
        ranked = sorted(shown, key=lambda one: one.precision[direction])
        low, high = ranked[0], ranked[-1]
        caption = (
            f"Classes further left are harder: {low.name} has {low.precision[direction]:.2f}, {high.name} "
            f"{high.precision[direction]:.2f}; the weakest of both directions together stand on top."
        )
        alt = f"{title}: " + ", ".join(f"{one.name} {one.precision[direction]:.3f}" for one in ranked)
        return canvas.keep(axes, f"classes-{direction}", alt, caption)


def _matrix(canvas: Canvas, name: str, direction: str, one: Measured, shown: Sequence[ClassFigure]) -> Drawing:
    labels = one.collection.labels
    assert labels is not None
    chosen = sorted(of_class.index for of_class in shown)
    names = {of_class.index: of_class.name for of_class in shown}
    ranked, among = one.directions[direction], np.ix_(chosen, chosen)
    matrix = retrieved_classes(ranked, labels)[among]
    mistakes = np.nan_to_num(retrieved_classes(ranked, labels, mistakes=True)[among])
    title = f"Classes found, {direction_title(direction)}"
    with canvas.axes(title, "class found", "class asked for", height=MATRIX_HEIGHT) as axes:
        drawn = axes.imshow(matrix, vmin=0, vmax=1, cmap="viridis", aspect="auto", interpolation="nearest")
        _class_ticks(axes, [names[index] for index in chosen])
        colours = axes.get_figure().colorbar(drawn, ax=axes, fraction=0.05, pad=0.02)
        colours.set_label("share of what is found")
        row, column = np.unravel_index(int(mistakes.argmax()), mistakes.shape)
        asked, found = names[chosen[row]], names[chosen[column]]
        diagonal = float(np.nanmean(np.diag(matrix)))
        if (labels > 0).sum(axis=1).max() > 1:
            perfect = retrieved_classes(ranked._replace(scores=ranked.relevant.astype(np.float32)), labels)[among]
            caption = (
                f"The diagonal holds {diagonal:.0%} on average, {float(np.nanmean(np.diag(perfect))):.0%} in a perfect "
                "ranking: what has several classes is shared out among them"
            )
        else:
            caption = f"A perfect ranking is bright on the diagonal alone, which here holds {diagonal:.0%} on average"
        if mistakes.max() > 0:
            caption += f"; the most frequent mistake is {found} for {asked} ({mistakes[row, column]:.0%})"
        caption += "."
        alt = (
            f"{title} by {one.name}: share of each class among as many first places as a query has relevant items. "
            + ", ".join(f"{names[index]} finds itself {matrix[place, place]:.2f}" for place, index in enumerate(chosen))
        )
        return canvas.keep(axes, f"class-matrix-{name}", alt, caption)


def _class_ticks(axes: Axes, names: Sequence[str]) -> None:
    short = [name if len(name) <= 14 else name[:13] + "…" for name in names]
    size = 9 if len(names) <= 20 else 7
    axes.set_xticks(range(len(names)), short, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), short, fontsize=size)
    axes.grid(False)


def _height(shown: Sequence[ClassFigure]) -> float:
    return max(HEIGHT, 1.4 + 0.24 * len(shown))


def _table(figures: dict[str, list[ClassFigure]], first: Sequence[ClassFigure]) -> str:
    by_index = {name: {one.index: one for one in of_run} for name, of_run in figures.items()}
    head = ["class", "pictures"]
    head += [f"{name}, {direction_title(direction)}" for name in figures for direction in DIRECTIONS]
    rows = []
    for of_class in sorted(first, key=lambda one: one.mean):
        cells = [
            f"{by_index[name][of_class.index].precision[direction]:.3f}" for name in figures for direction in DIRECTIONS
        ]
        rows.append([of_class.name, str(of_class.pictures), *cells])
    return page.table("MAP@all of each class, the weakest first", head, rows)
