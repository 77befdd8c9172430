"""The report of runs: one self-contained HTML page, and its figures as PNG and SVG files.

OUT/
  report.html   everything inside, nothing is fetched
  figures/      each figure as PNG and SVG
  peers/        settings that validation chose for peers, where some stand beside the runs
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from dafsn_tf.data.manifest import Manifest
from dafsn_tf.data.records import RecordSplit, open_split
from dafsn_tf.errors import ConfigError, RunError
from dafsn_tf.evaluation.protocols import DIRECTIONS, first_protocol
from dafsn_tf.reporting import page
from dafsn_tf.reporting.classes import class_figures, classes_section
from dafsn_tf.reporting.curves import curves_section
from dafsn_tf.reporting.distributions import distributions_section
from dafsn_tf.reporting.embedding_map import check_projection, embedding_section
from dafsn_tf.reporting.figure import Canvas, write_file
from dafsn_tf.reporting.galleries import galleries_section
from dafsn_tf.reporting.measured import Measured, check_peers, measure_peers, measure_run
from dafsn_tf.reporting.metric_tables import difference, direction_title, metrics_section
from dafsn_tf.reporting.training_curves import training_section
from dafsn_tf.reporting.words import words_section
from dafsn_tf.runs import Run, check_makeable, load_run, overlap_warning

Projection = Literal["tsne", "umap"]


def write_report(
    runs: Sequence[str | Path],
    data: Path,
    out: Path,
    *,
    split: str = "test",
    peers: Sequence[str] = (),
    weights: str | Path | None = None,
    projection: Projection = "tsne",
    pictures: bool = True,
    write: Callable[[str], None] = print,
) -> Path:
    """Return the page that tells how good runs are, where they fail and what one does that another does not.

    Args:
        runs: folders of runs, or whatever `load_run` takes; differences are the first run's to each other.
        data: the prepared collection that all are measured on.
        out: folder to write to; it is made.
        split: that is measured.
        peers: names of `baselines.METHODS` that are fitted, on the first run's features and words, to stand beside.
        weights: file of the frozen backbone's weights, where the one that a run names is not at hand.
        projection: how embeddings are laid out in two dimensions; "umap" needs the package umap-learn.
        pictures: whether the collection's pictures and texts are shown; without them the page holds figures alone, fit
            to pass on where the collection's terms forbid the rest.
        write: receives progress, a line at a time.

    Raises:
        ConfigError: no run, a peer that does not exist, a projection that is not installed.
        DataError: no such collection or split, records that are damaged or gone, a file that cannot be written.
        RunError: no run there, one that has not finished its first epoch, or runs on different data.
        WeightsError: the backbone's weights cannot be had, or are not those of training.
    """
    data, out, began = Path(data), Path(out), time.monotonic()

    def step(text: str) -> None:
        write(f"[{time.monotonic() - began:4.0f} s] {text}")

    check_projection(projection)
    check_makeable(out, "report's folder")
    records = open_split(data, split)
    loaded = [load_run(run, weights) for run in _several(runs)]
    names = _names(runs, loaded)
    _check_same_data(dict(zip(names, loaded, strict=True)))
    check_peers(peers, loaded[0])
    canvas = Canvas(out / "figures")
    measured = []
    for name, run in zip(names, loaded, strict=True):
        step(f"scoring {split} by {name}")
        measured.append(measure_run(name, run, data, records, step))
    if peers:
        step(f"fitting {', '.join(peers)} on the same features")
        measured += measure_peers(peers, loaded[0], data, split, out / "peers", step)
    canvas.folder.mkdir(parents=True, exist_ok=True)
    sections = []

    def section(identity: str, title: str, make: Callable[[], str]) -> None:
        step(title.casefold())
        sections.append((identity, title, make()))

    section("metrics", "Metrics", lambda: metrics_section(measured))
    section("curves", "Curves", lambda: curves_section(measured, canvas))
    section("training", "Training", lambda: training_section(measured, canvas))
    section("classes", "Classes", lambda: classes_section(measured, records, canvas))
    section("scores", "Scores of matching and other pairs", lambda: distributions_section(measured, canvas))
    section("embeddings", "Map of the embeddings", lambda: embedding_section(measured, canvas, projection))
    if pictures:
        section("galleries", "What was found", lambda: galleries_section(measured, records, canvas))
        section("words", "What the words looked at", lambda: words_section(measured, records, canvas))
    path = out / "report.html"
    title = f"Retrieval report: {records.manifest.name}, {split} split"
    html = page.page(title, _introduction(measured, records), sections)
    write_file(path, html.encode())
    step(f"written: {path} ({len(html.encode()) / 1e6:.1f} MB)")
    return path


def _several(runs: Sequence[str | Path]) -> Sequence[str | Path]:
    if isinstance(runs, str | Path) or not runs:
        raise ConfigError(f"A report needs a list of runs; found {runs!r}. Name at least one run's folder.")
    return runs


def _names(given: Sequence[str | Path], runs: Sequence[Run]) -> list[str]:
    """Return what to call each run: its folder's name, or where that is not its own, what it was named by."""
    short = [run.path.resolve().name for run in runs]
    names = [name if short.count(name) == 1 else str(path) for name, path in zip(short, given, strict=True)]
    if len(set(names)) < len(names):
        raise ConfigError(f"A report shows each run once; found {', '.join(names)}.")
    return names


def _check_same_data(runs: dict[str, Run]) -> None:
    (first, reference), *others = runs.items()
    for name, run in others:
        if run.info.get("collection") != reference.info.get("collection"):
            raise RunError(
                f"Runs of one report are of one collection, but {first} was trained on {_data_of(reference)} and "
                f"{name} on {_data_of(run)}. Report them apart."
            )


def _data_of(run: Run) -> str:
    return f"{run.info.get('dataset', 'an unknown one')} ({str(run.info.get('collection', ''))[:8] or 'no digest'})"


def _introduction(measured: Sequence[Measured], records: RecordSplit) -> str:
    first = measured[0]
    manifest: Manifest = records.manifest
    texts = len(first.collection.text_image)
    names = ", ".join(f"{one.name} ({'run' if one.run else 'peer'})" for one in measured)
    parts = [
        page.paragraph(
            f"{len(records)} images and {texts} texts; protocol {first_protocol(first.collection)}; {names}. Each is "
            f"judged by its last score in the tables ('{first.judged}' for {first.name}).",
            "pale",
        )
    ]
    strangers = [
        one.name for one in measured if one.run and one.run.info.get("collection") not in (None, manifest.digest)
    ]
    if strangers:
        parts.append(page.paragraph(f"Trained on another collection than this one: {', '.join(strangers)}.", "pale"))
    parts += [
        page.paragraph(f"{one.name}: {warning}.")
        for one in measured
        if one.run and (warning := overlap_warning(one.run.info, manifest))
    ]
    return "".join(parts) + page.listed(_findings(measured, records))


def _findings(measured: Sequence[Measured], records: RecordSplit) -> list[str]:
    """Return what the page says in a minute."""
    protocol, first = first_protocol(measured[0].collection), measured[0]
    found = []
    for one in measured:
        figures, chance = one.evaluation["protocols"][protocol][one.judged], one.evaluation["chance"][protocol]
        said = [
            f"{direction_title(direction)} MAP {figures[direction]['map@all']:.3f} "
            f"(chance {chance[direction]['map@all']:.3f}), recall@10 {figures[direction]['recall@10']:.3f}"
            for direction in DIRECTIONS
        ]
        found.append(f"{one.name}: {'; '.join(said)}.")
    for other in measured[1:]:
        said = []
        for direction in DIRECTIONS:
            gain = difference(first, other, direction, "map@all")
            clear = "not told apart" if gain.low <= 0 <= gain.high else "a clear difference"
            said.append(f"{direction_title(direction)} {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}], {clear}")
        found.append(f"MAP of {first.name} minus {other.name}: {'; '.join(said)}.")
    figures = class_figures(first, records)
    if len(figures) > 1:
        ordered = sorted(figures, key=lambda of_class: of_class.mean)
        found.append(
            f"{first.name} is best at {ordered[-1].name} (MAP {ordered[-1].mean:.3f}) and fails most at "
            f"{ordered[0].name} ({ordered[0].mean:.3f})."
        )
    return found
