"""The next version of a served model: written aside, verified, renamed."""

import shutil
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from dafsn_tf.evaluation.fusion import Fusion
from dafsn_tf.export.half_precision import HalfPrecision
from dafsn_tf.export.indexing import build_index, indexed
from dafsn_tf.export.model_card import model_card
from dafsn_tf.export.ops import check_ops
from dafsn_tf.export.options import ExportOptions
from dafsn_tf.export.publishing import next_version
from dafsn_tf.export.verification import Endpoints, verify
from dafsn_tf.export.warmup import write_warmup
from dafsn_tf.progress import Write
from dafsn_tf.retrieval import Encoder
from dafsn_tf.retrieval.encoder import IMAGES, TEXTS
from dafsn_tf.runs import Run, complete_model


def export_run(
    run: Run, to: Path, *, data: Path | None = None, options: ExportOptions | None = None, write: Write | None = None
) -> Path:
    """Write the next integer version below `to` and return its folder.

    The version is written beside its place with warm-up requests and a model card, its ops are checked against the
    list of what stock servers load, every signature is run in a fresh session and compared with the model in this
    process, and only then is it renamed: a server that watches `to` never sees half of it. Exports into the same folder
    take turns.

    Args:
        run: a finished run.
        to: the model's folder; TensorFlow Serving's base path.
        data: collection to index along; without it `search` and `search_by_image` are not exported.
        options: what the version holds; `ExportOptions()` where None.
        write: receives progress, a line at a time.

    Raises:
        ExportError: a version that a server would not load, or that does not answer as the model does; a folder that
            cannot be locked.
        DataError, WeightsError: what the user can mend.
    """
    options = options or ExportOptions()
    module, endpoints = served(run, data, options, write)
    archive = keras.export.ExportArchive()
    archive.track(module)
    for name, (function, signature) in endpoints.items():
        archive.add_endpoint(name, function, input_signature=signature)

    to = to.absolute()
    write = write or (lambda line: None)
    write(f"writing {', '.join(endpoints)}")
    with next_version(to) as (number, aside):
        archive.write_out(str(aside), verbose=False)
        check_ops(aside)
        write("running each signature as a server would, against the model of the run")
        vocabulary = (run.path / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
        signatures = verify(aside, endpoints, vocabulary)
        (aside / "assets.extra").mkdir()  # what a server passes over
        shutil.copy(run.path / "config.toml", aside / "assets.extra" / "config.toml")
        inputs = {name: [str(spec.name) for spec in signature] for name, (_, signature) in endpoints.items()}
        write_warmup(aside, to.name, inputs, vocabulary)
        searched = indexed(data, options.split) if data else ""
        card = model_card(run, to.name, number, signatures, options, searched)
        (aside / "README.md").write_text(card, encoding="utf-8")
    return to / str(number)


class _Parts(tf.Module):
    """What functions read, without the functions: those of pictures cannot be traced without a backbone.

    Args:
        parts: variables and tables, or what holds them.
        owner: of the functions, who must not be forgotten meanwhile; what it holds beside is not exported.
    """

    def __init__(self, parts: list[Any], owner: Any) -> None:
        super().__init__(name="parts")
        self.parts = parts
        self._owner = lambda: owner


def served(
    run: Run, data: Path | None, options: ExportOptions, write: Write | None = None
) -> tuple[tf.Module, Endpoints]:
    """Return what an export tracks, and its functions by signature; `serving_default` is the first."""
    model = run.model if options.only == "text" else complete_model(run)
    if options.float16:
        model = HalfPrecision(model)
    encoder = Encoder(model, run.text_preprocessor, Fusion.from_dict(run.fusion), options.max_pixels)
    text: Endpoints = {"encode_text": (encoder.encode_text, [TEXTS])}
    image: Endpoints = {"encode_image": (encoder.encode_image, [IMAGES])}
    module: tf.Module = encoder
    if data:
        module = index = build_index(run, encoder, data, options.split, options.top_k, write, options.candidates)
        text["search"] = (index.search, [TEXTS])
        image["search_by_image"] = (index.search_by_image, [IMAGES])
    both: Endpoints = {**text, **image, "similarity": (encoder.similarity, [TEXTS, IMAGES])}
    chosen = {"text": text, "image": image, None: both}[options.only]
    if options.only == "text":
        module = _Parts([model, run.text_preprocessor, *module.variables], module)
    return module, {"serving_default": next(iter(chosen.values())), **chosen}
