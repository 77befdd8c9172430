"""Runs of several methods as one table: means, deviations, and intervals of paired differences to DAFSN."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import mean, stdev
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from dafsn_tf.evaluation.metrics import RECALL_CUTS
from dafsn_tf.evaluation.protocols import DIRECTIONS

_CHUNK, _DRAWN = 500, 4_000_000  # resamples and items that are drawn at once, at most

Run = Mapping[str, Any]  # contents of a run's file, see `dafsn_tf.baselines.record`
Queries = Mapping[str, Sequence[float | None]]  # a direction's values by name, one a query, of `baselines.queries`
Measure = Callable[[Queries], np.ndarray]


class Interval(NamedTuple):
    """A mean and the interval around it."""

    mean: float
    low: float
    high: float


class PictureSums(NamedTuple):
    """What each of B pictures adds to a mean over queries, in D directions whose means are averaged.

    A picture's queries, itself and its texts, stand together: they are not independent of each other.
    """

    sums: np.ndarray  # (D, B), of the values of a picture's queries
    counts: np.ndarray  # (D, B), of its queries that have a value

    @classmethod
    def of_queries(cls, values: np.ndarray, image: np.ndarray, images: int) -> "PictureSums":
        """Return those of one direction.

        Args:
            values: (queries,); NaN leaves a query out.
            image: (queries,) picture of each query.
            images: B.
        """
        counted = ~np.isnan(values)
        sums = np.bincount(image[counted], values[counted], minlength=images)
        return cls(sums[None], np.bincount(image[counted], minlength=images)[None])

    def minus(self, other: "PictureSums") -> "PictureSums":
        """Return what one method's queries have more than another's, which has a value for the same ones."""
        return PictureSums(self.sums - other.sums, self.counts)

    def mean(self) -> float:
        """Return the mean over queries, averaged over directions."""
        return float((self.sums.sum(axis=1) / self.counts.sum(axis=1)).mean())


def paired_bootstrap(values: PictureSums, *, resamples: int = 10_000, level: float = 0.95, seed: int = 0) -> Interval:
    """Return the mean over queries and its bootstrap interval (percentiles): pictures are drawn with replacement.

    A resample's mean is that of the queries of the pictures drawn: what they sum to over how many there are. Two
    pictures with a query each, of values 0 and 1: a resample's mean is 0, 1/2 or 1 with probability 1/4, 1/2, 1/4. The
    interval of level .95 is [0, 1], that of level .4 is [1/2, 1/2].

    Args:
        values: of one method, or what one gained over another (`PictureSums.minus`).
        resamples: how many; those without a query in some direction are left out.
        level: share of the resamples within the interval.
        seed: of the drawing.
    """
    means = []
    for times in times_drawn(values.sums.shape[1], resamples, seed):
        sums, counts = times @ values.sums.T, times @ values.counts.T
        held = (counts > 0).all(axis=1)
        means.append((sums[held] / counts[held]).mean(axis=1))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return Interval(values.mean(), float(low), float(high))


def times_drawn(items: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each item is in each resample of as many, drawn with replacement: (resamples, items) in parts."""
    random, chunk = np.random.default_rng(seed), max(1, min(_CHUNK, _DRAWN // items))
    for start in range(0, resamples, chunk):
        drawn = random.integers(0, items, (min(chunk, resamples - start), items))
        cells = drawn + np.arange(len(drawn))[:, None] * items
        yield np.bincount(cells.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)


def corrected_interval(differences: Sequence[float], test_share: float, level: float = 0.95) -> Interval:
    """Return the mean difference over redrawn splits of one collection, and its t interval.

    Such splits share most of their pictures, so their figures are not independent: the variance of the mean is
    (1 / J + test_share) s^2 instead of s^2 / J (Nadeau and Bengio, Inference for the Generalization Error, Machine
    Learning 52, 2003).

    Args:
        differences: of each of J splits, at least two.
        test_share: images of a test split over those of its training split.
        level: of confidence.
    """
    middle, splits = mean(differences), len(differences)
    error = stdev(differences) * math.sqrt(1 / splits + test_share)
    reach = error * float(scipy.stats.t.ppf((1 + level) / 2, splits - 1))
    return Interval(middle, middle - reach, middle + reach)


def picture_values(run: Run, measure: Measure) -> PictureSums:
    """Return what each picture adds to a run's figure, of both directions.

    Args:
        run: contents of a run's file.
        measure: takes a direction's values by name, returns that of each query; NaN leaves a query out.
    """
    of_directions = [
        PictureSums.of_queries(measure(queries), np.array(queries["image"]), run["images"])
        for queries in (run["per_query"][direction] for direction in DIRECTIONS)
    ]
    sums, counts = (np.concatenate(rows) for rows in zip(*of_directions, strict=True))
    return PictureSums(sums, counts)


def average_precision(queries: Queries) -> np.ndarray:
    """Return each query's average precision; its mean is MAP@all."""
    return np.array(queries["average_precision"], float)


def mean_recall(queries: Queries) -> np.ndarray:
    """Return the share of the cuts 1, 5 and 10 at which each query has found its pair."""
    ranks = np.array(queries["first_relevant_rank"], float)
    found = np.mean([ranks <= cut for cut in RECALL_CUTS], axis=0)
    return np.where(np.isnan(ranks), np.nan, found)


MEASURES: dict[str, Measure] = {"MAP@all": average_precision, "mean recall": mean_recall}


def _mean_gradient(name: str) -> Callable[[Run], float]:
    return lambda run: mean(run[name])


ABLATION_COLUMNS: dict[str, Callable[[Run], float]] = {
    "probe accuracy": lambda run: run["modality_gap"]["probe_accuracy"],
    "linear probe": lambda run: run["modality_gap"]["linear_probe_accuracy"],
    "centroid distance": lambda run: run["modality_gap"]["centroid_distance"],
    "adversarial gradient": _mean_gradient("adversarial_gradient"),
    "other gradients": _mean_gradient("retrieval_gradient"),
}


def ablation_table(runs: Sequence[Run], missing: Sequence[str] = (), skipped: Sequence[str] = ()) -> str:
    """Return the runs of `baselines.ablate` as `comparison_table` does, with differences to the full model.

    Beside the figures stand the modality gap of the test split (`evaluation.modality_gap`) and the mean norm, over
    training, of the gradients of the weighted adversarial loss and of the other losses at what the discriminator sees.
    """
    return comparison_table(runs, missing, skipped, "full", ABLATION_COLUMNS)


def comparison_table(
    runs: Sequence[Run],
    missing: Sequence[str] = (),
    skipped: Sequence[str] = (),
    reference: str = "dafsn",
    more: Mapping[str, Callable[[Run], float]] | None = None,
) -> str:
    """Return runs as a Markdown table, one row a method, with what is missing or was skipped below it.

    Figures are means over seeds, then over splits; ± is the standard deviation over seeds, or over splits where there
    are several. Differences are the reference's figure minus the method's: values are averaged over seeds first. The
    interval is `paired_bootstrap`'s over pictures with their texts, or `corrected_interval`'s over those splits that
    both have. `more` names further columns, which are means over the runs of what a function makes of each. Several
    splits are followed by a second table, of the differences on each.
    """
    lines = [*_title(runs), ""] if runs else []
    if runs:
        directions = [f"{name.replace('_', ' ')} recall@1 / 5 / 10" for name in DIRECTIONS]
        columns = [column for name in MEASURES for column in (name, f"{reference} minus it")]
        more = more or {}
        rows = [["method", "splits x seeds", *columns, *directions, "min a run", *more]]
        for method in dict.fromkeys(run["method"] for run in runs):
            own = [run for run in runs if run["method"] == method]
            further = [f"{mean(column(run) for run in own):.3g}" for column in more.values()]
            minutes = f"{mean(run['seconds'] for run in own) / 60:.1f}"
            rows.append([*_row(method, runs, reference), minutes, *further])
        rows.append([*_chance(runs), *[""] * (len(more) + 1)])
        lines += _markdown(rows)
        if len(_splits([run for run in runs if run["method"] == reference])) > 1:
            lines += ["", f"MAP@all of each split, {reference}'s minus the others':", "", *_split_rows(runs, reference)]
    for title, entries in (("Still missing", missing), ("Skipped", skipped)):
        if entries:
            lines += ["", f"{title}:", *(f"- {entry}" for entry in entries)]
    return "\n".join(lines).lstrip()


def _title(runs: Sequence[Run]) -> list[str]:
    first = runs[0]
    splits = len(_splits(runs))
    seeds = ", ".join(map(str, sorted({run["seed"] for run in runs})))
    how = "bootstrap over pictures"
    if splits > 1:
        how = "t over splits, corrected for the pictures that they share (of one split alone: bootstrap over pictures)"
    return [
        f"{first['dataset']}, {splits} test split{'s' * (splits > 1)} of {first['images']} images and {first['texts']} "
        f"texts, protocol {first['per_query']['protocol']}; seeds {seeds}. MAP@all and mean recall (at 1, 5, 10) are "
        f"averages of both directions; 95 % intervals of paired differences: {how}.{_begun_with(runs)}"
    ]


def _begun_with(runs: Sequence[Run]) -> str:
    """Return a sentence on the runs whose training began with another model's heads, which tells of unequal data."""
    begun = {
        run["method"]: heads
        for run in runs
        if (heads := run.get("settings", {}).get("training", {}).get("from_preset", "none")) != "none"
    }
    if not begun:
        return ""
    return f" Training began with the heads of {', '.join(dict.fromkeys(begun.values()))}: of {', '.join(begun)} alone."


def _row(method: str, runs: Sequence[Run], reference: str) -> list[str]:
    own = [run for run in runs if run["method"] == method]
    cells = [method, _splits_and_seeds(own)]
    for measure in MEASURES.values():
        ours, theirs = (
            _by_split([run for run in runs if run["method"] == name], measure) for name in (reference, method)
        )
        cells.append(_figure(own, measure))
        interval = None if method == reference else _gain(ours, theirs, _test_share(own[0]))
        cells.append(f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]" if interval else "")
    for direction in DIRECTIONS:
        cells.append(" / ".join(f"{_recall(own, direction, cut):.3f}" for cut in RECALL_CUTS))
    return cells


def _split_rows(runs: Sequence[Run], reference: str) -> list[str]:
    """Return the reference's MAP@all on each split, and by how much it is above each other method's, as a table."""
    methods = list(dict.fromkeys(run["method"] for run in runs if run["method"] != reference))
    figures = {
        method: {
            split: values.mean()
            for split, values in _by_split([run for run in runs if run["method"] == method], average_precision).items()
        }
        for method in (reference, *methods)
    }
    rows = [["split", reference, *methods]]
    for split, ours in figures[reference].items():
        theirs = [figures[method].get(split) for method in methods]
        rows.append([split[:8], f"{ours:.3f}", *("" if other is None else f"{ours - other:+.3f}" for other in theirs)])
    return _markdown(rows)


def leads(runs: Sequence[Run], reference: str = "dafsn") -> dict[str, Interval]:
    """Return by how much the reference's MAP@all is above each other method's, with the interval of the table."""
    methods = [method for method in dict.fromkeys(run["method"] for run in runs) if method != reference]
    values = {
        method: _by_split([run for run in runs if run["method"] == method], average_precision)
        for method in (reference, *methods)
    }
    gains = {method: _gain(values[reference], values[method], _test_share(runs[0])) for method in methods}
    return {method: gain for method, gain in gains.items() if gain is not None}


def _gain(ours: Mapping[str, PictureSums], theirs: Mapping[str, PictureSums], test_share: float) -> Interval | None:
    """Return how much more one method's pictures have than another's, over the splits of both; None without any."""
    gains = [ours[split].minus(theirs[split]) for split in theirs if split in ours]
    if len(gains) < 2:
        return paired_bootstrap(gains[0]) if gains else None
    return corrected_interval([gain.mean() for gain in gains], test_share)


def _test_share(run: Run) -> float:
    return run["images"] / run["train_images"]


def _splits_and_seeds(runs: Sequence[Run]) -> str:
    seeds = [len({run["seed"] for run in runs if run["collection"] == split}) for split in _splits(runs)]
    of_each = str(seeds[0]) if len(set(seeds)) == 1 else f"{min(seeds)} to {max(seeds)}"
    return f"{len(seeds)} x {of_each}"


def _splits(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(run["collection"] for run in runs))


def _chance(runs: Sequence[Run]) -> list[str]:
    """Return the row of what a random order is worth, a mean over splits."""
    first = {run["collection"]: run for run in runs}.values()
    chances = [run["test"]["chance"][run["per_query"]["protocol"]] for run in first]

    def figure(direction: str, name: str) -> float:
        return mean(chance[direction][name] for chance in chances)

    precision = mean(figure(direction, "map@all") for direction in DIRECTIONS)
    recall = mean(figure(direction, f"recall@{cut}") for direction in DIRECTIONS for cut in RECALL_CUTS)
    recalls = [
        " / ".join(f"{figure(direction, f'recall@{cut}'):.3f}" for cut in RECALL_CUTS) for direction in DIRECTIONS
    ]
    return ["chance", "", f"{precision:.3f}", "", f"{recall:.3f}", "", *recalls]


def _by_split(runs: Sequence[Run], measure: Measure) -> dict[str, PictureSums]:
    """Return each split's picture values, averaged over the runs' seeds."""
    values: dict[str, list[PictureSums]] = {}
    for run in runs:
        values.setdefault(run["collection"], []).append(picture_values(run, measure))
    return {
        split: PictureSums(np.mean([one.sums for one in of_seeds], axis=0), of_seeds[0].counts)
        for split, of_seeds in values.items()
    }


def _figure(runs: Sequence[Run], measure: Measure) -> str:
    splits = _by_split(runs, measure)
    figures = [values.mean() for values in splits.values()]
    spread = figures if len(figures) > 1 else [picture_values(run, measure).mean() for run in runs]
    deviation = f" ± {stdev(spread):.3f}" if len(spread) > 1 else ""
    return f"{mean(figures):.3f}{deviation}"


def _recall(runs: Sequence[Run], direction: str, cut: int) -> float:
    values: dict[str, list[float]] = {}
    for run in runs:
        of_run = run["test"]["protocols"][run["per_query"]["protocol"]][run["score"]][direction]
        values.setdefault(run["collection"], []).append(of_run[f"recall@{cut}"])
    return mean(mean(of_seeds) for of_seeds in values.values())


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:]]
