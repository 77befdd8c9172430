"""The whole way on generated scenes, in one folder: data, training, evaluation, export, server, answers over gRPC.

demo/
  data/             the generated scenes as records
  run/              the trained run
  evaluation.json   figures on the test split; attention.json: the pointing game
  pictures/         what was found, and where the words looked
  saved_models/     the exported version
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from dafsn_tf.config import Config
from dafsn_tf.data.manifest import Manifest
from dafsn_tf.errors import DataError

SHOWN = 5  # test captions asked over gRPC
MARK = "demo.toml"  # tells a demo's folder from a user's
KEPT = "looked-at"  # in it: what pictures of one's own look like


def run_demo(
    out: Path,
    config: Config,
    seed: int = 0,
    *,
    write: Callable[[str], None] = print,
    answer: Callable[[str], None] = print,
) -> None:
    """Go the whole way in the folder `out`, which is made anew.

    Args:
        out: an empty or absent folder, or that of an earlier demo.
        config: what to train.
        seed: of the scenes and of training.
        write: receives progress.
        answer: receives the table and the server's answers.

    Raises:
        DataError: `out` holds something else.
    """
    from dafsn_tf.data.prepare import prepare
    from dafsn_tf.evaluation.attention import evaluate_attention
    from dafsn_tf.evaluation.evaluate import evaluate_run
    from dafsn_tf.export import ExportOptions, export_run
    from dafsn_tf.files import write_json
    from dafsn_tf.reporting.tables import metrics_table, pointing_table
    from dafsn_tf.runs import load_run
    from dafsn_tf.training import train

    _clear(out, config)
    data, run_folder, models = out / "data", out / "run", out / "saved_models" / "dafsn"
    started = time.monotonic()

    def step(title: str) -> None:
        write(f"[{time.monotonic() - started:4.0f} s] {title}")

    step("drawing the scenes")
    manifest = prepare("shapes", None, data, seed=seed)
    step("training")
    train(config, data, run_folder, seed=seed, write=write)
    step("evaluating on the test split")
    run = load_run(run_folder)
    evaluation, attention = evaluate_run(run, data), evaluate_attention(run, data)
    for folder in (out, run_folder):  # the model card of an export takes the run's
        write_json(folder / "evaluation.json", evaluation)
    write_json(out / "attention.json", attention)
    step("exporting for TensorFlow Serving")
    export_run(run, models, data=data, options=ExportOptions(split="test"))  # what it was not trained on
    answer(metrics_table(evaluation))
    answer(pointing_table(attention))
    step("serving and asking over gRPC")
    _ask_the_server(models, data, out / "pictures", manifest, write, answer)
    step(f"done; everything is in {out}")


def _clear(out: Path, config: Config) -> None:
    if out.exists() and any(out.iterdir()):
        if not (out / MARK).exists():
            raise DataError(f"{out} holds something that is no demo. Choose another folder with --out.")
        shutil.rmtree(out)
    mark(out)
    (out / MARK).write_text(config.to_toml(), encoding="utf-8")


def mark(out: Path) -> None:
    """Make a demo's folder, which a later demo may replace; what holds something else already is left unmarked."""
    out.mkdir(parents=True, exist_ok=True)
    if all(path.name == KEPT for path in out.iterdir()):
        (out / MARK).touch()


def _ask_the_server(
    models: Path,
    data: Path,
    pictures: Path,
    manifest: Manifest,
    write: Callable[[str], None],
    answer: Callable[[str], None],
) -> None:
    from PIL import Image

    from dafsn_client import Client, word_attention
    from dafsn_client.images import opened
    from dafsn_server.process import running
    from dafsn_tf.data.records import open_split
    from dafsn_tf.reporting.attention import attention_figure, write_figure
    from dafsn_tf.reporting.pictures import Found, gallery

    records = open_split(data, "test")
    chosen = range(0, len(records), max(1, len(records) // SHOWN))[:SHOWN]
    queries = [records.texts[index][0] for index in chosen]
    place = {identity: index for index, identity in enumerate(records.ids)}

    def picture(index: int) -> Image.Image:
        return opened(records.read_images([index])[0])

    with running({"dafsn": models}) as target, Client(target, "dafsn", timeout=60.0) as client:
        write(f"the embedded server listens on {target}")
        found = client.search(queries)
        explained = client.similarity(queries[:3], [records.read_images([index])[0] for index in chosen[:3]])
        described = client.search_by_image([records.read_images([chosen[0]])[0]])[0]
    gallery(
        queries,
        [
            [Found(picture(place[hit.id]), hit.score, place[hit.id] == index) for hit in hits[:5]]
            for index, hits in zip(chosen, found, strict=True)
        ],
        pictures / "found.png",
    )
    for number, (index, query, similarity) in enumerate(zip(chosen, queries, explained, strict=False), start=1):
        figure = attention_figure(word_attention(query, similarity), picture(index))
        write_figure(figure, pictures / f"attention-{number}.png")
    answer(f"pictures of what was found and where the words looked: {pictures}")
    answer("answers over gRPC:")
    for query, index, hits in zip(queries, chosen, found, strict=True):
        answer(f'  "{query}" ({records.ids[index]})')
        answer("    " + ", ".join(f"{hit.id} {hit.score:.2f}" for hit in hits[:5]))
    answer(f"  texts for the picture {records.ids[chosen[0]]}")
    for hit in described[:3]:
        answer(f"    {hit.score:.2f} {hit.caption} ({hit.id})")
