"""Build RESULTS.md and the tables of other documents from runs/*.json, and record a finished run as such a file.

    python benchmarks/results.py                                   builds all (make results)
    python benchmarks/results.py record NAME --evaluation FILE...  writes runs/NAME.json
    python benchmarks/results.py beside NAME --evaluation FILE...  prints new figures beside those of runs/NAME.json

The JSON files of a `dafsn compare` or a `dafsn ablate` stand in a folder of their own, which a run file names; what the
peers' settings were chosen from stands beside them, as `dafsn compare` wrote it. `public.json` holds figures that
others have published, with their sources.

A run file holds the command, seeds, seconds, machine and commit beside the figures, so that a table's number can be
made again.
"""

import argparse
import functools
import json
import os
import platform
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev

from dafsn_tf.reporting.comparison import (
    Interval,
    ablation_table,
    average_precision,
    comparison_table,
    leads,
    picture_values,
)

HERE = Path(__file__).parent
DOCUMENTS = (HERE.parent / "README.md", HERE.parent / "docs" / "evidence.md")  # with tables between the next two
BEGIN, END = re.compile("<!-- make results: ([a-z]+) -->\\n"), "<!-- end of make results -->\n"
TUNING = "tuning-"  # files of a comparison that tell which settings were tried
COMPARED = {"Flickr8k": "compare-flickr8k", "Pascal Sentence, six or twenty splits": "compare-pascal-sentence"}
ABLATED = {
    "Flickr8k": "ablate-flickr8k-parts",
    "Pascal Sentence, six splits": "ablate-pascal-parts",
    "the same with words, no querybank": "ablate-pascal-words",
    "photographs with classes": "ablate-photos-classes",
}
LEARNED = {  # where canonical directions were left out, and the peers beside
    "Flickr8k": ("ablate-flickr8k-parts", "compare-flickr8k"),
    "Pascal Sentence, six splits": ("ablate-pascal-parts", "compare-pascal-sentence"),
}
UNLABELLED = {"without_labels": "without labels", "without_classifier": "labels mask other pairs of a class alone"}
PARTS = (
    *("without_sentence", "without_words", "with_fused", "without_labels", "without_canonical", "without_querybank"),
    *("without_word_vectors", "without_added_words", "with_adversary"),
)
OWN = {
    "cartoon faces, 320 to train on": "compare-faces-few",
    "cartoon faces, 880": "compare-faces",
    "streets with German texts, 320": "compare-streets-few",
    "streets with German texts, 880": "compare-streets",
    "charts, 320": "compare-charts-few",
    "emoji, 1316": "compare-emoji",
    "photographs, 320": "compare-photos-few-scratch",
    "photographs, 320, by `photographs`": "compare-photos-few",
    "photographs with classes, 320": "compare-photos-classes",
}
PEERS_OF_OWN = ("cca", "cca_with_querybank", "semantic_matching")
PEERS_WITHOUT_CLASSES = ("cca", "cca_with_querybank", "damsm", "vsepp", "scan")  # DAMSM masks other pairs of a class
PLAYED = {  # where an adversary was tried: the table, without it, with it
    "Flickr8k": ("ablate-flickr8k-parts", "full", "with_adversary"),
    "Flickr8k, a reversed gradient": ("ablate-flickr8k", "full", "adversary_gradient_reversal"),
    "Flickr8k, weight 1": ("ablate-flickr8k", "full", "adversary_weight_1"),
    "Pascal Sentence, six splits": ("ablate-pascal-parts", "full", "with_adversary"),
    "Pascal Sentence, six splits, weight 1": ("ablate-pascal-parts", "full", "adversary_weight_1"),
    "an eighth of its pictures": ("ablate-pascal-few", "full", "with_adversary"),
    "two fifths of its labels wrong, six splits": ("ablate-pascal-wrong-labels", "full", "with_adversary"),
    "two fifths of its texts wrong": ("ablate-pascal-wrong-texts", "full", "with_adversary"),
    "seven eighths without a partner": ("ablate-pascal-unpaired", "without_adversary", "weight_0.1"),
    "seven eighths without a partner, weight 1": ("ablate-pascal-unpaired", "without_adversary", "full"),
    "photographs with classes": ("ablate-photos-classes", "full", "with_adversary"),
    "Pascal Sentence, three splits, the plain form `dafsn_paper`": ("ablate-pascal-paper", "without_adversary", "full"),
    "generated scenes, weight .02": ("ablate-shapes", "without_adversary", "full"),
}
WEIGHTS = (  # what published figures of Inception-v3 are of
    "Figures of Inception-v3 are of the weights of ../shared/data, which are estimates in part above mixed8: with the",
    "official file those of mixed9 and mixed10, which pascal-sentence reads, will be other ones.",
)
METRICS = ("map@all", "recall@1", "recall@5", "recall@10", "median_rank")


def record(name: str, evaluations: list[Path], command: str, seconds: float, attention: Path | None, note: str) -> None:
    """Write runs/NAME.json from the files that `dafsn evaluate --json` wrote, one a seed, and its `--attention`."""
    run = {
        "name": name,
        "command": command,
        "seconds": seconds,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True, cwd=HERE
        ).stdout.strip(),
    }
    if evaluations:
        run["evaluations"] = [json.loads(path.read_text()) for path in evaluations]
    if attention:
        run["attention"] = json.loads(attention.read_text())
    if note:
        run["note"] = note
    (HERE / "runs" / f"{name}.json").write_text(json.dumps(run, indent=1) + "\n")


def beside(name: str, evaluations: list[Path]) -> str:
    """Return a table of the fused figures of new evaluations beside those that runs/NAME.json holds."""
    expected = json.loads((HERE / "runs" / f"{name}.json").read_text())
    measured = {"evaluations": [json.loads(path.read_text()) for path in evaluations]}
    lines = [f"{name}, fused score", f"{'direction':16}{'metric':14}{'measured':>18}{'expected':>18}"]
    protocol = next(iter(expected["evaluations"][0]["protocols"]))
    for direction in ("image_to_text", "text_to_image"):
        for metric in METRICS:
            found, before = (_fused(run, protocol, direction, metric) for run in (measured, expected))
            lines.append(f"{direction.replace('_', ' '):16}{metric:14}{found:>18}{before:>18}")
    return "\n".join([*lines, *WEIGHTS])


def results() -> str:
    """Return the text of RESULTS.md."""
    lines = [
        "# Results",
        "",
        "Built by `make results` from `benchmarks/runs/*.json`; do not edit. All figures are our own runs on the test",
        "split, choices made on validation; redrawn splits of one collection share pictures, so that what validates in",
        "one is tested in another (compare-pascal-sentence says which choices that concerns). Several seeds: mean ±",
        "standard deviation.",
        *WEIGHTS,
        "Commands that read photographs found these by",
        "`export DAFSN_INCEPTION_WEIGHTS=../shared/data/inception_v3/inception_v3_notop_float16.h5`.",
    ]
    for run in _runs():
        lines += ["", *_section_of(run)(run)]
    for table in json.loads((HERE / "public.json").read_text()):
        lines += ["", *_public(table)]
    return "\n".join(lines) + "\n"


def documents() -> dict[Path, str]:
    """Return the texts of `DOCUMENTS` with their tables of figures made anew."""
    tables = {
        "figures": _collections,
        "leads": lambda: _leads("DAFSN's MAP minus its", _leads_of(COMPARED, "dafsn")),
        "parts": lambda: _leads("full model's MAP minus its", _leads_of(ABLATED, "full"), PARTS),
        "unlabelled": _without_classes,
        "learned": _without_canonical,
        "own": _own_collections,
        "adversary": _adversaries,
    }
    made = {}
    for path in DOCUMENTS:
        before, *rest = BEGIN.split(path.read_text(encoding="utf-8"))
        parts = [before]
        for name, text in zip(rest[::2], rest[1::2], strict=True):
            parts += [f"<!-- make results: {name} -->\n", "\n".join(tables[name]()), "\n", END, text.split(END)[1]]
        made[path] = "".join(parts)
    return made


def _collections() -> list[str]:
    """Return the figures of the collections as a table."""
    directions = ("text_to_image", "image_to_text")
    recalls = (f"{direction.replace('_', ' ')} recall@1 / 10" for direction in directions)
    rows = [("collection (test split)", "protocol, fused score", "MAP@all", *recalls, "wall time")]
    for run in _runs():
        if "evaluations" not in run:
            continue
        first = run["evaluations"][0]
        protocol = next(iter(first["protocols"]))
        recall = (" / ".join(_fused(run, protocol, way, f"recall@{k}") for k in (1, 10)) for way in directions)
        name, minutes = f"{run['name']}, {first['num_images']} images", f"{run['seconds'] / 60:.0f} min"
        rows.append((name, protocol, _average_map(run), *recall, minutes))
    return _table(rows)


def _own_collections() -> list[str]:
    """Return DAFSN's MAP on collections that no choice was made by, and how much it leads by, as a table."""
    rows = [["collection", "DAFSN's MAP", *(f"minus {peer}" for peer in PEERS_OF_OWN)]]
    for name, folder in OWN.items():
        runs = _made(folder)
        found = leads(runs)
        figure = mean(picture_values(run, average_precision).mean() for run in runs if run["method"] == "dafsn")
        rows.append([_linked(name, folder), f"{figure:.3f}", *(_interval(found.get(peer)) for peer in PEERS_OF_OWN)])
    return _table(rows)


def _without_classes() -> list[str]:
    """Return how DAFSN stands to peers that learn no classes where it learns none, on Pascal Sentence, as a table."""
    columns = {
        title: _part_beside_peers(row, "ablate-pascal-parts", "compare-pascal-sentence")
        for row, title in UNLABELLED.items()
    }
    return _leads("Pascal Sentence, six splits: DAFSN's MAP minus its", columns, PEERS_WITHOUT_CLASSES)


def _without_canonical() -> list[str]:
    """Return how DAFSN stands to its peers without what it has of CCA, as a table."""
    columns = {name: _part_beside_peers("without_canonical", *folders) for name, folders in LEARNED.items()}
    return _leads("DAFSN's MAP without canonical directions minus its", columns)


def _part_beside_peers(method: str, ablation: str, comparison: str) -> dict[str, Interval]:
    """Return by how much the MAP of an ablation is above that of each peer of a comparison."""
    ours = [run for run in _made(ablation) if run["method"] == method]
    theirs = [run for run in _made(comparison) if run["method"] != "dafsn"]
    return leads(ours + theirs, method)


def _adversaries() -> list[str]:
    """Return what an adversary gained, hid and moved wherever one was tried, as a table."""
    probed, moved = "a fresh probe is right, without and with", "its share of the gradient, first, middle, last epoch"
    rows = [("setting", "MAP with an adversary minus MAP without", probed, moved)]
    for name, (folder, without, played) in PLAYED.items():
        runs = _made(folder)
        lead = _interval(leads(runs, played)[without])
        right = (mean(_probe(run) for run in runs if run["method"] == method) for method in (without, played))
        shares = zip(*(_shares(run) for run in runs if run["method"] == played), strict=True)
        rows.append((_linked(name, folder), lead, *(_percent(values) for values in (right, map(mean, shares)))))
    return _table(rows)


def _probe(run: dict) -> float:
    """Return how often a classifier with a hidden layer tells a run's held-out texts from images."""
    return run["modality_gap"]["probe_accuracy"]


def _shares(run: dict) -> tuple[float, float, float]:
    """Return the norm of the adversary's gradient over that of the other losses', in three epochs."""
    ratios = [
        ours / others for ours, others in zip(run["adversarial_gradient"], run["retrieval_gradient"], strict=True)
    ]
    return ratios[0], ratios[len(ratios) // 2], ratios[-1]


def _percent(values: Iterable[float]) -> str:
    return ", ".join(f"{100 * value:.0f}" for value in values) + " %"


def _leads(title: str, columns: dict[str, dict[str, Interval]], rows: Sequence[str] = ()) -> list[str]:
    """Return leads as a table.

    Args:
        title: of the first column.
        columns: leads by method, by the columns' titles.
        rows: methods in their order; all by name where none are given.
    """
    methods = rows or sorted({method for column in columns.values() for method in column})
    cells = [[method, *(_interval(column.get(method)) for column in columns.values())] for method in methods]
    return _table([[title, *columns], *cells])


def _leads_of(tables: dict[str, str], reference: str) -> dict[str, dict[str, Interval]]:
    """Return by how much a reference's MAP is above each other method's, in each folder of runs."""
    return {name: leads(_made(folder), reference) for name, folder in tables.items()}


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows, the head first, as a Markdown table."""
    head, *others = (f"| {' | '.join(row)} |" for row in rows)
    return [head, "|" + "---|" * len(rows[0]), *others]


def _linked(name: str, folder: str) -> str:
    """Return a name as docs/evidence.md links it to its table."""
    return f"[{name}](../benchmarks/RESULTS.md#{folder})"


def _interval(found: Interval | None) -> str:
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})" if found else ""


def _section_of(run: dict) -> Callable[[dict], list[str]]:
    if "comparison" in run or "ablation" in run:
        return _comparison
    if "scenarios" in run:
        return _scenarios
    if "trials" in run:
        return _search
    return _section if "evaluations" in run else _pointing


def _runs() -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((HERE / "runs").glob("*.json"))]


def _fused(run: dict, protocol: str, direction: str, metric: str) -> str:
    places = [evaluation["protocols"][protocol]["fused"][direction] for evaluation in run["evaluations"]]
    return _figure([place[metric] for place in places], metric)


def _average_map(run: dict) -> str:
    """Return MAP@all by the fused score, first protocol, averaged over both directions."""
    fused = [next(iter(evaluation["protocols"].values()))["fused"] for evaluation in run["evaluations"]]
    return _figure([mean(direction["map@all"] for direction in directions.values()) for directions in fused], "map@all")


def _head(run: dict, said: str, *, note: bool = True) -> list[str]:
    """Return a section's first lines: its name, what is said of the whole run, its command and its note."""
    noted = [run["note"], ""] if note and "note" in run else []
    return [f"## {run['name']}", "", said, "", "```sh", run["command"], "```", "", *noted]


def _cost(run: dict) -> str:
    return f"{run['seconds'] / 60:.1f} min on {run['machine']}; commit {run['commit']}."


def _scenarios(run: dict) -> list[str]:
    """Return the section of a run of benchmarks/serving.py, or of the conformance suite."""
    lines = [
        *_head(run, _cost(run), note=False),
        "| scenario | what | figure |",
        "|---|---|---|",
    ]
    for scenario, figures in run["scenarios"].items():
        lines += [f"| {scenario} | {what} | {figure} |" for what, figure in figures.items()]
    return lines


def _pointing(run: dict) -> list[str]:
    """Return the section of a pointing game by itself, with its controls."""
    from dafsn_tf.reporting.tables import pointing_rows

    heading, *rows = pointing_rows(run["attention"])
    return [
        *_head(run, f"{run['attention']['nouns']} nouns; {_cost(run)}"),
        *(f"| {' | '.join(row)} |" for row in (heading, ("---",) * len(heading), *rows)),
    ]


def _search(run: dict) -> list[str]:
    """Return the section of a search that `dafsn tune` made, its trials the best first."""
    done = sorted((trial for trial in run["trials"] if trial["status"] == "completed"), key=_validation, reverse=True)
    names = sorted({name for trial in done for name in trial["values"]})
    rows = [
        (str(trial["number"]), f"{trial['validation']:.3f}", *(_value(trial["values"].get(name)) for name in names))
        for trial in done
    ]
    heading = ("trial", "validation", *names)
    return [
        *_head(run, f"{len(run['trials'])} trials; {_cost(run)}"),
        *(f"| {' | '.join(row)} |" for row in (heading, ("---",) * len(heading), *rows)),
    ]


def _validation(trial: dict) -> float:
    return trial["validation"]


def _value(value: float | int | str | None) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)


def _comparison(run: dict) -> list[str]:
    """Return the section of a folder of runs that `dafsn compare` or `dafsn ablate` made, with its table."""
    folder, table, apart = (
        (run["ablation"], ablation_table, "")
        if "ablation" in run
        else (run["comparison"], comparison_table, ", tuning of the peers apart")
    )
    made = _made(folder)
    minutes = sum(one["seconds"] for one in made) / 60
    return [
        *_head(run, f"{minutes:.1f} min in all on {run['machine']}{apart}; commit {run['commit']}."),
        table(made, run["missing"], run.get("skipped", [])),
        *_choices(folder),
    ]


@functools.cache
def _made(folder: str) -> list[dict]:
    """Return the runs of a folder."""
    return [json.loads(path.read_text()) for path in _files(folder) if not path.name.startswith(TUNING)]


def _files(folder: str) -> list[Path]:
    return sorted((HERE / "runs" / folder).glob("*.json"))


def _choices(folder: str) -> list[str]:
    """Return which settings validation chose for each peer, of how many, as a table; nothing where none were."""
    tuned: dict[str, list[dict]] = {}
    for path in _files(folder):
        if path.name.startswith(TUNING):
            choice = json.loads(path.read_text())
            if "chosen" in choice:  # else it was interrupted, and goes on from what it has tried
                tuned.setdefault(choice["method"], []).append(choice)
    if not tuned:
        return []
    lines = [
        "",
        "Settings of the peers, chosen on validation images with seed 0 (DAFSN's are its preset's); how often each:",
        "",
        "| method | settings tried | chosen |",
        "|---|---|---|",
    ]
    for method, choices in tuned.items():
        tried = {json.dumps(one["settings"]) for choice in choices for one in choice["tried"]}
        varied = [name for name in choices[0]["chosen"] if len({json.loads(one)[name] for one in tried}) > 1]
        chosen = ["; ".join(f"{name} {_value(choice['chosen'][name])}" for name in varied) for choice in choices]
        counts = [f"{one} ({chosen.count(one)})" if len(chosen) > 1 else one for one in dict.fromkeys(chosen)]
        lines.append(f"| {method} | {max(len(choice['tried']) for choice in choices)} | {', '.join(counts)} |")
    return lines


def _public(table: dict) -> list[str]:
    """Return figures that others have published in a column of their own, beside ours of the same method."""
    lines = [
        f"## Public numbers, {table['collection']}",
        "",
        f"{table['figure']}. The public column is of other features and other splits: it tells where the field stands,",
        f"not which of two methods is better. {table.get('note', '')}".rstrip(),
        "",
        "| method | here, frozen Inception-v3 | public, other features | whose features |",
        "|---|---|---|---|",
    ]
    for row in table["rows"]:
        here = _here(table["here"], row["here"]) if "here" in row else ""
        lines.append(f"| {row['method']} | {here} | {row['public']} | {row['features']} |")
    return lines


def _here(name: str, method: str) -> str:
    """Return a method's fused figures in a comparison, or those of the run of that name, as `public.json` has them."""
    run = json.loads((HERE / "runs" / f"{name}.json").read_text())
    if "comparison" in run:
        splits: dict[str, list[dict]] = {}
        for one in _made(run["comparison"]):
            if one["method"] == method:
                scores = one["test"]["protocols"][one["per_query"]["protocol"]][one["score"]]
                splits.setdefault(one["collection"], []).append(scores)
        precision = [
            mean(mean(score[way]["map@all"] for score in seeds) for seeds in splits.values())
            for way in ("image_to_text", "text_to_image")
        ]
        return " / ".join(f"{value:.3f}".removeprefix("0") for value in precision)
    fused = [next(iter(evaluation["protocols"].values()))["fused"] for evaluation in run["evaluations"]]
    return "; ".join(
        " / ".join(f"{100 * mean(score[way][f'recall@{cut}'] for score in fused):.1f}" for cut in (1, 5, 10))
        for way in ("image_to_text", "text_to_image")
    )


def _section(run: dict) -> list[str]:
    evaluations = run["evaluations"]
    first = evaluations[0]
    seeds = ", ".join(str(evaluation["seed"]) for evaluation in evaluations)
    lines = [
        *_head(
            run,
            f"{first['dataset']}, {first['split']}: {first['num_images']} images, {first['num_texts']} texts; "
            f"seeds {seeds}; {_cost(run)}",
        ),
        "| protocol | score | direction | " + " | ".join(METRICS) + " |",
        "|---|---|---|" + "---|" * len(METRICS),
    ]
    for protocol, scores in first["protocols"].items():
        for score in (*scores, "chance"):
            for direction in ("image_to_text", "text_to_image"):
                places = [
                    evaluation["chance"][protocol] if score == "chance" else evaluation["protocols"][protocol][score]
                    for evaluation in evaluations
                ]
                figures = [_figure([place[direction][metric] for place in places], metric) for metric in METRICS]
                row = (protocol, score, direction.replace("_", " "), *figures)
                lines.append("| " + " | ".join(row) + " |")
    lines += ["", f"MAP@all, fused, average of both directions: {_average_map(run)}."]
    if attention := run.get("attention"):
        lines += [
            "",
            f"Pointing game {attention['pointing_game']:.3f} (chance {attention['chance']:.3f}; big objects "
            f"{attention['big']:.3f}, small {attention['small']:.3f}).",
        ]
    return lines


def _figure(values: list[float], metric: str) -> str:
    digits = 1 if metric == "median_rank" else 3
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{mean(values):.{digits}f} ± {stdev(values):.{digits}f}"


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="action")
    recorder = commands.add_parser("record", help="write runs/NAME.json from evaluations")
    recorder.add_argument("name")
    recorder.add_argument("--evaluation", type=Path, nargs="*", default=[], help="files of dafsn evaluate --json")
    recorder.add_argument("--attention", type=Path, help="file of dafsn evaluate --attention")
    recorder.add_argument("--command", required=True, help="the commands that made them")
    recorder.add_argument("--seconds", type=float, required=True, help="wall time of those commands")
    recorder.add_argument("--note", default="", help="what a reader must know of the circumstances")
    besider = commands.add_parser("beside", help="print new figures beside those of runs/NAME.json")
    besider.add_argument("name")
    besider.add_argument("--evaluation", type=Path, nargs="+", required=True, help="files of dafsn evaluate --json")
    options = parser.parse_args()
    if options.action == "beside":
        print(beside(options.name, options.evaluation))
        return
    if options.action == "record":
        if not (options.evaluation or options.attention):
            recorder.error("nothing to record: give --evaluation, --attention or both")
        record(options.name, options.evaluation, options.command, options.seconds, options.attention, options.note)
    (HERE / "RESULTS.md").write_text(results(), encoding="utf-8")
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
