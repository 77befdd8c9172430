"""`dafsn prepare`: native layouts to record files."""

from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from dafsn_tf.cli.console import LAST_SEED

if TYPE_CHECKING:
    from dafsn_tf.data.manifest import Manifest
    from dafsn_tf.data.problems import Problem

_SHOWN = 5  # problems of each kind that are printed


def prepare(
    name: Annotated[str, typer.Argument(help="Native layout: pascal-sentence, flickr8k, jsonl or shapes.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    source: Annotated[Path | None, typer.Option(help="Folder that holds the collection; not for shapes.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Seed of drawn splits and of shapes.")] = 0,
    redraw_splits: Annotated[
        bool, typer.Option("--redraw-splits", help="Draw splits by --seed although the source names them.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on any problem of the source.")] = False,
    documents: Annotated[
        bool | None, typer.Option("--documents/--no-documents", help="Whether a picture's texts form one document.")
    ] = None,
    image_side: Annotated[int, typer.Option(help="Reduce larger pictures to this shorter side, in pixels.")] = 512,
    max_pixels: Annotated[int, typer.Option(help="Do not decode pictures of more pixels.")] = 100_000_000,
    force: Annotated[bool, typer.Option("--force", help="Replace a collection that the folder holds.")] = False,
) -> None:
    """Turn a collection into record files with a manifest."""
    from dafsn_tf.data.prepare import prepare as prepare_collection
    from dafsn_tf.data.prepare import read_problems

    bar = _progress_bar()
    with ExitStack() as shown:

        def progress(done: int, total: int) -> None:
            if not bar.tasks:  # a source that cannot be read gets a message and no bar
                shown.enter_context(bar)
                bar.add_task("pictures")
            bar.update(bar.task_ids[0], completed=done, total=total)

        manifest = prepare_collection(
            name,
            source,
            out,
            seed=seed,
            redraw_splits=redraw_splits,
            strict=strict,
            documents=documents,
            image_side=image_side,
            max_pixels=max_pixels,
            force=force,
            progress=progress,
        )
    _print_summary(manifest, read_problems(out), out)


class _RateColumn(ProgressColumn):
    """Pictures a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f}/s" if task.speed else "")


def _progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _print_summary(manifest: "Manifest", problems: "list[Problem]", out: Path) -> None:
    from dafsn_tf.data.prepare import PROBLEMS_FILE

    console = Console(soft_wrap=True, highlight=False, markup=False)
    table = Table("split", title=f"{manifest.name} (classes: {len(manifest.classes)})", title_justify="left")
    for heading in ("images", "texts", "unlabelled"):
        table.add_column(heading, justify="right")
    for split, info in manifest.splits.items():
        table.add_row(split, str(info.num_images), str(info.num_texts), str(info.num_unlabelled))
    console.print(table)
    console.print(f"Splits: {manifest.split_origin}.")
    for reason, count in manifest.skipped.items():
        console.print(f"Skipped: {count} x {reason}.")
    by_kind: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        by_kind[problem.kind].append(problem)
    for kind, found in sorted(by_kind.items()):
        console.print(f"Problem: {len(found)} x {kind}")
        for problem in found[:_SHOWN]:
            console.print(f"  {problem.path}: {problem.detail}")
        if len(found) > _SHOWN:
            console.print(f"  and {len(found) - _SHOWN} more in {out / PROBLEMS_FILE}")
    console.print(f"Written: {out}")
