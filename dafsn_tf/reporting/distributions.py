"""How the scores of matching pairs lie to those of other pairs, and their overlap as a number."""

from collections.abc import Sequence

from dafsn_tf.evaluation.breakdown import score_distributions
from dafsn_tf.reporting import page
from dafsn_tf.reporting.figure import COLOURS, PALE, Canvas, Drawing
from dafsn_tf.reporting.measured import Measured


def distributions_section(measured: Sequence[Measured], canvas: Canvas) -> str:
    """Return the HTML of the distributions, one figure a run."""
    return page.panels(_drawing(canvas, number, one) for number, one in enumerate(measured, start=1))


def _drawing(canvas: Canvas, number: int, one: Measured) -> Drawing:
    ranked = one.directions["text_to_image"]
    spread = score_distributions(ranked.scores, ranked.pairs)
    title = f"Scores of pairs by {one.name}"
    score = one.judged if one.run is None else f"{one.judged} score"
    unit = "standard deviations of validation, mixed" if one.judged == "fused" else "cosine or the peer's own unit"
    with canvas.axes(title, f"{score} ({unit})", "share of the pairs of its kind") as axes:
        for values, label, colour, line in (
            (spread.other, "other pairs", COLOURS[1], "--"),
            (spread.matching, "matching pairs", COLOURS[0], "-"),
        ):
            axes.stairs(values, spread.edges, fill=True, alpha=0.3, facecolor=colour)
            axes.stairs(values, spread.edges, color=colour, linestyle=line, linewidth=2, label=label)
        axes.axvline(spread.threshold, color=PALE, linestyle=":", label="best threshold")
        axes.set_ylim(bottom=0)
        canvas.legend(axes)
        caption = (
            f"The further the two hills stand apart the better; their overlap is {spread.overlap:.3f}, between 0 (one "
            "threshold parts them) and 1 (no threshold tells anything)."
        )
        alt = f"{title}: overlap {spread.overlap:.3f}, best threshold at a score of {spread.threshold:.3f}."
        return canvas.keep(axes, f"scores-{number}", alt, caption)
