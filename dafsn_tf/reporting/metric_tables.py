"""The metrics of a report as tables: every score and direction with chance and intervals, and what runs differ by."""

from collections.abc import Sequence

import numpy as np

from dafsn_tf.evaluation.metrics import METRICS
from dafsn_tf.evaluation.protocols import DIRECTIONS
from dafsn_tf.reporting import page
from dafsn_tf.reporting.comparison import Interval, PictureSums, paired_bootstrap, times_drawn
from dafsn_tf.reporting.measured import Measured

TITLES = {"map@all": "MAP@all", "map@50": "MAP@50", "median_rank": "median rank"}
_HEAD = ("run", "score", *(TITLES.get(metric, metric) for metric in METRICS))
_RESAMPLES = 10_000


def direction_title(direction: str) -> str:
    """Return a direction as people say it."""
    return direction.replace("_", " ")


def metrics_section(measured: Sequence[Measured]) -> str:
    """Return the HTML of the metric tables."""
    first = measured[0]
    protocols = list(first.evaluation["protocols"])
    parts = [
        page.paragraph(
            "Larger is better but for the median rank; below each figure its 95 % interval (bootstrap over pictures "
            "with their texts, 10,000 resamples). Where it holds chance's figure, the run cannot be told from chance."
        ),
        metrics_table(measured, protocols[0]),
    ]
    if len(measured) > 1:
        parts.append(differences_table(measured))
    for protocol in protocols[1:]:
        parts.append(page.folded(f"The same under the protocol '{protocol}'", metrics_table(measured, protocol)))
    return "".join(parts)


def metrics_table(measured: Sequence[Measured], protocol: str) -> str:
    """Return every metric of every score under a protocol, and chance, as HTML tables, one a direction."""
    tables = []
    for direction in DIRECTIONS:
        rows = []
        for one in measured:
            for score in one.scores:
                figures = one.evaluation["protocols"][protocol][score][direction]
                values = one.query_values(score, protocol == "document")[direction]
                rows.append([one.name, score, *(_with_interval(figures[name], name, values, one) for name in METRICS)])
        chance = measured[0].evaluation["chance"][protocol][direction]
        rows.append(["chance", "–", *(figure(chance[name], name) for name in METRICS)])
        caption = f"{direction_title(direction).capitalize()}, protocol '{protocol}'"
        tables.append(page.table(caption, _HEAD, rows, named=2))
    return "".join(tables)


def differences_table(measured: Sequence[Measured]) -> str:
    """Return what the first run is ahead of each other by, paired by picture, as an HTML table."""
    reference, *others = measured
    rows = []
    for direction in DIRECTIONS:
        for one in others:
            cells = []
            for metric in METRICS[:-1]:
                interval = difference(reference, one, direction, metric)
                clear = "" if interval.low <= 0 <= interval.high else " *"
                cells.append(f"{interval.mean:+.3f}{clear}\n[{interval.low:+.3f}, {interval.high:+.3f}]")
            rows.append([direction_title(direction), one.name, *cells])
    head = ["direction", "minus", *(TITLES.get(metric, metric) for metric in METRICS[:-1])]
    caption = (
        f"Paired differences: {reference.name} minus each other, by their judged scores; above 0 {reference.name} is "
        "better, * marks a 95 % interval without 0"
    )
    return page.table(caption, head, rows, named=2)


def difference(reference: Measured, other: Measured, direction: str, metric: str) -> Interval:
    """Return the mean difference of two runs' judged scores and its paired bootstrap interval, over pictures."""
    documents = reference.collection.documents
    ours, theirs = (
        _of_pictures(one.query_values(one.judged, documents)[direction], metric, one) for one in (reference, other)
    )
    return paired_bootstrap(ours.minus(theirs), resamples=_RESAMPLES)


def figure(value: float, metric: str) -> str:
    """Return a metric's value as the page shows it."""
    return f"{value:.1f}" if metric == "median_rank" else f"{value:.3f}"


def median_interval(
    ranks: np.ndarray, image: np.ndarray, images: int, *, resamples: int = _RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the median rank; pictures are drawn, each with its queries.

    Two pictures with a query each, of ranks 1 and 3: a resample's median is 1, 2 or 3 with probability 1/4, 1/2, 1/4.

    Args:
        ranks: (queries,); NaN leaves a query out.
        image: (queries,) picture of each query.
        images: how many there are.
    """
    counted = ~np.isnan(ranks)
    distinct, place_of = np.unique(ranks[counted], return_inverse=True)
    upto = np.zeros((images, len(distinct)), np.float32)  # queries of a picture whose rank is at most that
    np.add.at(upto, (image[counted], place_of), 1)
    upto = upto.cumsum(axis=1)
    medians = []
    for times in times_drawn(images, resamples, seed):
        reached = times.astype(np.float32) @ upto  # whole numbers, exact below 2^24
        total = reached[:, -1:]
        reached, total = reached[total[:, 0] > 0], total[total[:, 0] > 0]
        middle = [distinct[np.argmax(reached >= place, axis=1)] for place in ((total + 1) // 2, total // 2 + 1)]
        medians.append(np.mean(middle, axis=0))
    low, high = np.quantile(np.concatenate(medians), [0.025, 0.975])
    return float(low), float(high)


def _of_pictures(values: dict[str, np.ndarray], metric: str, one: Measured) -> PictureSums:
    return PictureSums.of_queries(values[metric], values["image"], one.scores[one.judged].shape[1])


def _with_interval(value: float, metric: str, values: dict[str, np.ndarray], one: Measured) -> str:
    if metric == "median_rank":
        low, high = median_interval(values[metric], values["image"], one.scores[one.judged].shape[1])
    else:
        _, low, high = paired_bootstrap(_of_pictures(values, metric, one), resamples=_RESAMPLES)
    return f"{figure(value, metric)}\n[{figure(low, metric)}, {figure(high, metric)}]"
