"""From a run to a version that TensorFlow Serving loads."""

import os
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dafsn_tf.data.records import open_split
from dafsn_tf.errors import ExportError
from dafsn_tf.evaluation.embedding import Embedder
from dafsn_tf.evaluation.fusion import Fusion
from dafsn_tf.retrieval import Encoder, Index
from dafsn_tf.retrieval.encoder import IMAGES, TEXTS
from dafsn_tf.runs import Run, complete_model, split_features

Endpoints = dict[str, tuple[Any, list[tf.TensorSpec]]]  # function and its inputs, by signature


def export_run(run: Run, to: Path, *, data: Path | None = None, split: str = "test", top_k: int = 10) -> Path:
    """Write the next integer version below `to` and return its folder.

    The version is written beside its place, loaded in a fresh session, compared with the model in this process, and
    only then renamed.

    Args:
        run: a finished run.
        to: the model's folder; TensorFlow Serving's base path.
        data: collection to index along; without it `search` and `search_by_image` are not exported.
        split: of that collection.
        top_k: answers to a query.

    Raises:
        ExportError: a version that does not answer as the model does.
        DataError, WeightsError: what the user can mend.
    """
    encoder = Encoder(complete_model(run), run.text_preprocessor, Fusion.from_dict(run.fusion))
    endpoints: Endpoints = {
        "encode_text": (encoder.encode_text, [TEXTS]),
        "encode_image": (encoder.encode_image, [IMAGES]),
        "similarity": (encoder.similarity, [TEXTS, IMAGES]),
    }
    index = build_index(run, encoder, data, split, top_k) if data else None
    if index is not None:
        endpoints["search"] = (index.search, [TEXTS])
        endpoints["search_by_image"] = (index.search_by_image, [IMAGES])
    archive = keras.export.ExportArchive()
    archive.track(encoder.model)
    archive.track(index or encoder)
    for name, (function, signature) in endpoints.items():
        archive.add_endpoint(name, function, input_signature=signature)
    archive.add_endpoint("serving_default", encoder.encode_text, input_signature=[TEXTS])

    to = to.absolute()
    to.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(path.name) for path in to.iterdir() if path.name.isdigit()), default=0)
    aside = to / f".tmp-{number}"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        archive.write_out(str(aside), verbose=False)
        (aside / "assets.extra").mkdir()  # what the server passes over
        shutil.copy(run.path / "config.toml", aside / "assets.extra" / "config.toml")
        _verify(aside, endpoints)
        os.rename(aside, to / str(number))
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return to / str(number)


def build_index(run: Run, encoder: Encoder, data: Path, split: str = "test", top_k: int = 10) -> Index:
    """Return the index of a split of a collection, embedded by a run."""
    records = open_split(data, split)
    features = split_features(run, data, records)
    embeddings = Embedder(run.model, run.text_preprocessor).embed_split(records, features)
    return Index(encoder, embeddings, records.ids, records.texts, top_k)


def _verify(folder: Path, endpoints: Endpoints) -> None:
    """Compare every signature, in a session as the server opens it, with the function it was made from."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), "uint8")
    samples = {
        "texts": np.array([b"a small red circle", b"two dogs run", b""], object),
        "images": np.array([tf.io.encode_png(noise).numpy(), tf.io.encode_jpeg(noise).numpy(), b"no image"], object),
    }
    expected = {
        name: function(*(tf.constant(samples[str(spec.name)]) for spec in signature))
        for name, (function, signature) in endpoints.items()
    }
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        for name, outputs in expected.items():
            signature = loaded.signature_def[name]
            feeds = {info.name: samples[key] for key, info in signature.inputs.items()}
            names = {key: signature.outputs[key].name for key in outputs}
            for key, answer in session.run(names, feeds).items():
                _compare(f"{name}.{key}", answer, outputs[key].numpy())


def _compare(name: str, answer: np.ndarray, expected: np.ndarray) -> None:
    if answer.dtype.kind == "f":
        same = answer.shape == expected.shape and np.abs(answer - expected).max(initial=0) <= 1e-4
    else:
        same = answer.shape == expected.shape and bool((answer == expected).all())
    if not same:
        raise ExportError(f"The exported version answers {name} otherwise than the model; it was not published.")
