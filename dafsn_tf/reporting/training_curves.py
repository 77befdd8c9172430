"""How runs were trained: every named loss, the discriminator's accuracy, validation, the chosen epoch."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from dafsn_tf.models.dafsn import LOSSES
from dafsn_tf.models.game import GRADIENTS
from dafsn_tf.reporting import page
from dafsn_tf.reporting.figure import COLOURS, LINES, MARKERS, PALE, Canvas, Drawing
from dafsn_tf.reporting.measured import History, Measured


def training_section(measured: Sequence[Measured], canvas: Canvas) -> str:
    """Return the HTML of the training curves; it says so where a model came without its training."""
    trained = [(one.name, one.history) for one in measured if one.history is not None]
    missing = [one.name for one in measured if one.history is None]
    parts = []
    if trained:
        drawings = [_losses(canvas, number, *each) for number, each in enumerate(trained, start=1)]
        drawings.append(_discriminator(canvas, trained))
        played = [(name, history) for name, history in trained if _plays(history)]
        if played:
            drawings.append(_gradients(canvas, played))
        drawings.append(_validation(canvas, trained))
        parts.append(page.panels(drawings))
        parts.append(page.folded("The last and the chosen epoch as a table", _table(trained)))
    if missing:
        parts.append(page.paragraph(f"No epochs are recorded for {', '.join(missing)}: nothing to draw."))
    return "".join(parts)


def _losses(canvas: Canvas, number: int, name: str, history: History) -> Drawing:
    title = f"Training losses of {name}"
    with canvas.axes(title, "epoch", "loss (nats, log scale)") as axes:
        shown = {loss: history.columns[loss] for loss in LOSSES if np.any(history.columns.get(loss, 0) > 0)}
        for place, (loss, values) in enumerate(shown.items()):
            label = "total" if loss == "loss" else loss.removesuffix("_loss")
            _epochs(axes, values, place, label)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        _mark(axes, history.best_epoch)
        canvas.legend(axes)
        off = [loss.removesuffix("_loss") for loss in LOSSES if loss not in shown]
        total = history.columns["loss"]
        caption = (
            f"The total loss went from {total[0]:.3g} to {total[-1]:.3g} in {len(total)} epochs; the vertical line "
            f"marks the epoch that validation chose ({history.best_epoch})."
        )
        caption += f" Switched off: {', '.join(off)}." if off else ""
        ends = ", ".join(f"{loss} {values[0]:.3g} to {values[-1]:.3g}" for loss, values in shown.items())
        return canvas.keep(axes, f"training-losses-{number}", f"{title}, first to last epoch: {ends}.", caption)


def _discriminator(canvas: Canvas, trained: Sequence[tuple[str, History]]) -> Drawing:
    title = "How well the discriminator tells texts from images"
    with canvas.axes(title, "epoch", "accuracy in training (share right)") as axes:
        for place, (name, history) in enumerate(trained):
            _epochs(axes, history.columns["discriminator_accuracy"], place, name)
            _mark(axes, history.best_epoch, place)
        axes.axhline(0.5, color=PALE, linestyle=":", label="chance")
        axes.set_ylim(0, 1.02)
        canvas.legend(axes)
        last = {name: history.columns["discriminator_accuracy"][-1] for name, history in trained}
        said = ", ".join(f"{value:.2f} for {name}" for name, value in last.items())
        caption = (
            f"Near 0.5 the encoders fool the discriminator that plays against them; the last epoch has {said} "
            "(the fresh probe under the map below is the fairer judge)."
        )
        return canvas.keep(axes, "training-discriminator", f"{title}: last epoch {said}.", caption)


def _plays(history: History) -> bool:
    return all(np.any(history.columns.get(name, 0) > 0) for name in GRADIENTS)


def _gradients(canvas: Canvas, played: Sequence[tuple[str, History]]) -> Drawing:
    title = "How hard the adversary pulls"
    with canvas.axes(title, "epoch", "norm of gradients (log scale)") as axes:
        shares = []
        for number, (name, history) in enumerate(played):
            for place, column in enumerate(GRADIENTS, start=len(GRADIENTS) * number):
                of = "adversary" if column == "adversarial_gradient" else "other losses"
                _epochs(axes, history.columns[column], place, f"{name}: {of}")
            adversary, others = (history.columns[column] for column in GRADIENTS)
            shares.append(f"{adversary[-1] / max(others[-1], 1e-30):.2g} for {name}")
        axes.set_yscale("log")
        canvas.legend(axes, columns=2)
        said = ", ".join(shares)
        caption = (
            "Norms at the features that the discriminator sees, each loss as it is weighted, mean of an epoch. In the "
            f"last epoch the adversary's is this share of the others': {said}."
        )
        return canvas.keep(
            axes, "training-gradients", f"{title}: last epoch, share of the other losses' gradient {said}.", caption
        )


def _validation(canvas: Canvas, trained: Sequence[tuple[str, History]]) -> Drawing:
    title = "Validation MAP, and the epoch that was chosen"
    with canvas.axes(title, "epoch", "MAP@all, mean of both directions") as axes:
        said = []
        for place, (name, history) in enumerate(trained):
            values, chosen = history.columns["val_map@all"], history.best_epoch
            _epochs(axes, values, place, name)
            if 1 <= chosen <= len(values):
                _mark(axes, chosen, place)
                axes.plot([chosen], [values[chosen - 1]], MARKERS[place % len(MARKERS)], color=_colour(place), ms=10)
                said.append(f"{name} {values[chosen - 1]:.3f} in epoch {chosen} of {len(values)}")
        axes.set_ylim(bottom=0)
        canvas.legend(axes)
        caption = f"The big mark is the epoch that was kept: {', '.join(said)}; a falling end would mean overfitting."
        return canvas.keep(axes, "training-validation", f"{title}: {', '.join(said)}.", caption)


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _epochs(axes: Axes, values: np.ndarray, place: int, label: str) -> None:
    marker = MARKERS[place % len(MARKERS)] if len(values) < 3 else None  # one point makes no line
    line = LINES[place % len(LINES)]
    axes.plot(np.arange(1, len(values) + 1), values, color=_colour(place), linestyle=line, marker=marker, label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _mark(axes: Axes, epoch: int, place: int | None = None) -> None:
    if epoch:
        axes.axvline(epoch, color=PALE if place is None else _colour(place), linestyle=":", linewidth=1.5)


def _table(trained: Sequence[tuple[str, History]]) -> str:
    names = list(dict.fromkeys(column for _, history in trained for column in history.columns))
    rows = []
    for name, history in trained:
        epochs = len(next(iter(history.columns.values())))
        for epoch in sorted({history.best_epoch or epochs, epochs}):
            kind = "chosen" if epoch == history.best_epoch else "last"
            cells = [
                f"{history.columns[column][epoch - 1]:.4g}" if column in history.columns else "" for column in names
            ]
            rows.append([name, f"{epoch} ({kind})", *cells])
    return page.table("Training", ["run", "epoch", *(name.replace("_", " ") for name in names)], rows, named=2)
