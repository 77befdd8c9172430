"""From a configuration and a prepared collection to a run folder, by `model.fit`."""

import contextlib
import dataclasses
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dafsn_tf.config import Config, EvaluationConfig, stored_config
from dafsn_tf.data.locking import locked
from dafsn_tf.data.records import Manifest, RecordSplit
from dafsn_tf.errors import RunError
from dafsn_tf.files import write_json, written_aside
from dafsn_tf.fitting import (
    added_words,
    fit,
    image_inputs,
    initial_model,
    open_records,
    shipped_heads_hint,
    source_heads,
    training_vocabulary,
    vectors_by_id,
)
from dafsn_tf.pretrained import ADDED_WORDS
from dafsn_tf.runs import (
    VOCABULARY,
    check_makeable,
    checkpoint,
    load_backbone,
    load_model,
    prepared_otherwise,
    read_run_info,
    read_vocabulary,
)

if TYPE_CHECKING:
    from dafsn_tf.data.pipeline import ImageInputs
    from dafsn_tf.evaluation.evaluate import Validation

_FEW = 20  # images of a validation split that is told to be small


def train(
    config: Config,
    data: str | Path,
    run: str | Path,
    *,
    seed: int = 0,
    resume: bool = False,
    write: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train a model and return the result that `run.json` keeps.

    Args:
        config: everything but data and seed.
        data: a collection made by `prepare`.
        run: folder to write, absent or empty; see `dafsn_tf.runs` for what it holds. It appears when everything that
            training reads is ready, and vanishes again where training fails in its first epoch.
        seed: of initial weights, order, chosen texts and dropout; 0 to 2**32 - 1.
        resume: go on with an interrupted run of the same configuration, data and seed.
        write: receives progress, a line at a time.

    Returns:
        `{"best_epoch", "validation", "selection", "seconds", "epochs"}`.

    Raises:
        ConfigError, DataError, RunError, WeightsError: what the user can mend. ValueError: no such seed.
    """
    import keras

    from dafsn_tf.callbacks import out_of_patience
    from dafsn_tf.preprocessing.text import TextPreprocessor

    data, run = Path(data), Path(run)
    if not resume:
        _check_unused(run)
    manifest = Manifest.read(data)
    records = open_records(data, config)
    backbone = load_backbone(config.image) if config.image.backbone == "inception_v3" else None
    identity = {
        "data": str(data),
        "dataset": manifest.name,
        "collection": manifest.digest,
        "documents": manifest.documents,
        "seed": seed,
        "backbone_fingerprint": None if config.image.trains_backbone else backbone.fingerprint(),  # heads fit no other
    }
    with contextlib.ExitStack() as held:
        if resume:
            info = _check_same(run, config, identity)
            if "result" in info:
                write(f"{run} is complete, of {info['result']['epochs']} epochs: there is nothing to go on with")
                return info["result"]
            held.enter_context(_only_training(run))
        state = _state(run)
        source = source_heads(config, backbone) if not state["epochs_done"] or config.fits_canonical else None
        inputs = image_inputs(config, data, records, backbone, write)
        vocabulary = read_vocabulary(run) if resume else training_vocabulary(config, records["train"], source)
        keras.utils.set_random_seed(seed)
        if not resume:
            ancestry = [one for one in _ancestry(source) if one["collection"] != manifest.digest]
            _tell_of_ancestry(ancestry, manifest, write)
            run.mkdir(parents=True, exist_ok=True)
            held.enter_context(_only_training(run))
            _check_unused(run)  # another training may have begun there since
            _begin(run, config, identity | {"derived_from": ancestry}, manifest, vocabulary)
        try:
            text_preprocessor = TextPreprocessor(vocabulary, config.text.max_words, config.text.oov_buckets)
            _tell_of_long_texts(records["train"], config.text.max_words, write)
            _tell_of_large_classes(records["train"], write)
            _tell_of_few_images(config.evaluation.selected_images(len(records["validation"])), write)
            hint = shipped_heads_hint(config, records["train"], vocabulary)
            if hint:
                write(hint)
            config = dataclasses.replace(config, training=config.training.for_images(len(records["train"])))
            if state["epochs_done"]:
                model = load_model(checkpoint(run, state["epochs_done"]))
            else:
                model = initial_model(config, vocabulary, records["train"], inputs["train"], source, write)
            if not out_of_patience(state, config.training.patience):  # else what was interrupted is only its completion
                _fit(model, config, records, inputs, text_preprocessor, run, state, seed, write)
        except Exception:
            if not state["epochs_done"]:
                shutil.rmtree(run, ignore_errors=True)  # what it holds so far would only be in the way of another try
            raise
        return _finish(config, vocabulary, source, records, inputs, run, state, write)


@contextlib.contextmanager
def _only_training(run: Path) -> Iterator[None]:
    """Hold a run folder against a second training.

    Raises:
        RunError: another process trains there.
    """
    descriptor = os.open(run, os.O_RDONLY)
    try:
        if not locked(descriptor, run):
            raise RunError(f"Another process trains in {run}: wait until it has ended, or choose another folder.")
        yield
    finally:
        os.close(descriptor)


def _check_unused(run: Path) -> None:
    """Refuse a folder that cannot be written, or that holds something, before any work is done."""
    if run.is_dir() and any(run.iterdir()):
        raise RunError(f"{run} exists and is not empty. Choose another folder, or go on with it by --resume.")
    check_makeable(run, "run folder")


def _check_same(run: Path, config: Config, identity: dict[str, Any]) -> dict[str, Any]:
    """Return the contents of run.json, having refused another configuration, collection, seed or backbone."""
    info = read_run_info(run)
    if stored_config(run / "config.toml") != config:
        raise RunError(f"{run} was begun with another configuration: resume it with --config {run}/config.toml.")
    for name in ("collection", "documents", "seed", "backbone_fingerprint"):
        if info[name] != identity[name]:
            raise RunError(
                f"{run} was begun with {name} {info[name]}, now {identity[name]}: use what it was begun with."
            )
    return info


def _begin(run: Path, config: Config, identity: dict[str, Any], manifest: Manifest, vocabulary: list[str]) -> None:
    """Write what identifies the run; run.json, which makes the folder one, comes last."""
    (run / VOCABULARY).write_text("\n".join(vocabulary), encoding="utf-8")
    (run / "config.toml").write_text(config.to_toml(), encoding="utf-8")
    write_json(
        run / "run.json",
        {
            **identity,
            "classes": list(manifest.classes),
            "environment": _environment(),
            "command": sys.argv,
        },
    )


def _ancestry(source: Any) -> list[dict[str, str]]:
    """Return the collections that the heads which training begins with were trained on, and their terms, in order."""
    if source is None:
        return []
    info = source.assets.info
    last = {name: info.get(name, "") for name in ("dataset", "collection", "terms")}
    return [*(one for one in info.get("derived_from", []) if one["collection"] != last["collection"]), last]


def _tell_of_ancestry(ancestry: list[dict[str, str]], manifest: Manifest, write: Callable[[str], None]) -> None:
    """Say whose terms hold, and where the heads that training begins with know other splits of the same pictures."""
    for one in ancestry:
        if one["terms"]:
            write(f"terms of the heads that training begins with: {one['terms']}")
        if prepared_otherwise(one, manifest):
            write(
                f"the heads that training begins with were trained on another preparation of {manifest.name}: its "
                "validation and test pictures may be among those they know, and figures too good"
            )


def _tell_of_long_texts(records: RecordSplit, max_words: int, write: Callable[[str], None]) -> None:
    from dafsn_tf.preprocessing.text import count_longer

    texts = [text for texts in records.texts for text in texts]
    longer = count_longer(texts, max_words)
    if longer:
        write(
            f"{longer} of {len(texts)} training texts ({longer / len(texts):.1%}) have more than {max_words} words; "
            "the words after those are not read (text.max_words)"
        )


def _tell_of_large_classes(records: RecordSplit, write: Callable[[str], None]) -> None:
    from dafsn_tf.data.pipeline import LARGEST_SHARE, learned_classes

    left_out = [
        name for name, learned in zip(records.manifest.classes, learned_classes(records), strict=True) if not learned
    ]
    if left_out:
        write(
            f"more than {LARGEST_SHARE:.0%} of the training images have {', '.join(map(repr, left_out))}, which tells "
            "hardly any apart and is not learned as a class"
        )


def _tell_of_few_images(images: int, write: Callable[[str], None]) -> None:
    if images < _FEW:
        write(
            f"validation is by {images} image{'s' * (images > 1)}: what it chooses (the epoch, weights of scores) "
            f"and its figures are hardly better than chance; give it {_FEW} or more"
        )


def _state(run: Path) -> dict[str, Any]:
    """Return what the run has reached so far."""
    stored = run / "state.json"
    if not stored.exists():
        return {"epochs_done": 0, "best_epoch": None, "best_value": None, "improved": None, "seconds": 0.0}
    state = json.loads(stored.read_text(encoding="utf-8"))
    state.setdefault("improved", state["best_epoch"])  # of a version that kept the best epoch alone
    for epoch in (state["epochs_done"], state["best_epoch"]):
        if not checkpoint(run, epoch).is_file():
            raise RunError(f"{checkpoint(run, epoch)}, which state.json names, is missing: train anew elsewhere.")
    return state


def _environment() -> dict[str, str]:
    from importlib.metadata import version

    packages = ("dafsn-tf", "tensorflow", "keras", "tensorflow-text", "numpy")
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        **{package: version(package) for package in packages},
    }


def _fit(
    model: Any,
    config: Config,
    records: dict[str, RecordSplit],
    inputs: dict[str, "ImageInputs"],
    text_preprocessor: Any,
    run: Path,
    state: dict[str, Any],
    seed: int,
    write: Callable[[str], None],
) -> None:
    import keras

    from dafsn_tf.callbacks import ProgressLines, RunCheckpoint
    from dafsn_tf.evaluation.embedding import selection_sample
    from dafsn_tf.evaluation.protocols import takes_the_place, telling_classes

    validated, _ = selection_sample(records["validation"], None, config.evaluation)
    has_classes = bool(telling_classes(validated.labels).any())

    def near(value: float, best: float) -> bool:
        return takes_the_place(value, best, config.evaluation.selection_tolerance, has_classes, len(validated))

    training, done = config.training, state["epochs_done"]
    steps = training.steps_per_epoch(len(records["train"]))
    write(
        f"training on {len(records['train'])} images, {training.epochs} epochs of {steps} batches of "
        f"{training.batch_size}; {model.count_params():,} parameters; run folder {run}"
    )
    _keep_rows(run / "metrics.csv", done)
    table = keras.callbacks.CSVLogger(str(run / "metrics.csv"), append=done > 0)
    callbacks = [
        table,
        keras.callbacks.TensorBoard(str(run / "tensorboard"), write_graph=False),
        ProgressLines(training.epochs, steps, training.batch_size, write),
        RunCheckpoint(run, state, training.patience, near),
    ]
    try:
        fit(model, config, records, inputs, text_preprocessor, seed, (done, training.epochs), callbacks)
    finally:
        if table.csv_file is not None:  # Keras closes it only where training reaches its end
            table.csv_file.close()


def _keep_rows(path: Path, epochs: int) -> None:
    """Drop the rows of epochs that were interrupted before their checkpoint."""
    if path.exists():
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[: 1 + epochs]))


def _finish(
    config: Config,
    vocabulary: list[str],
    source: Any,
    records: dict[str, RecordSplit],
    inputs: dict[str, "ImageInputs"],
    run: Path,
    state: dict[str, Any],
    write: Callable[[str], None],
) -> dict[str, Any]:
    """Complete the chosen epoch by what is not trained, choose its fusion, and close the run.

    Choices are made by all texts of the images that choices are made by.
    """
    from dafsn_tf.evaluation.evaluate import choose_fusion

    started = time.monotonic()
    all_texts = dataclasses.replace(config.evaluation, selection_texts=0)
    with written_aside(run / "best.keras", keep_suffix=True) as aside:
        _copy_epoch(config, checkpoint(run, state["best_epoch"]), aside)
        model = load_model(aside, compile=False)
        validation, added = _completed(model, vocabulary, source, records, inputs, all_texts, write)
        model = validation.embedder.model
        if added or config.fits_canonical or config.fits_querybank:
            # else the epoch's file stays as it is, optimizers included
            model.save(aside)
        (run / ADDED_WORDS).unlink(missing_ok=True)
        if added:
            with written_aside(run / ADDED_WORDS) as listed:
                listed.write_text("\n".join(added), encoding="utf-8")
    fusion, figures, selection = choose_fusion(validation)
    write_json(run / "fusion.json", fusion.to_dict())
    info, images = read_run_info(run), config.evaluation.selected_images(len(records["validation"]))
    info["result"] = {
        "best_epoch": state["best_epoch"],
        "epochs": state["epochs_done"],
        "selection": selection,
        "validation_images": images,
        "validation": figures,
        "seconds": round(state["seconds"] + time.monotonic() - started, 1),
        "parameters": model.count_params(),
    }
    write_json(run / "run.json", info)
    for path in run.glob("epoch-*.keras"):
        path.unlink()
    write(
        f"chosen epoch {state['best_epoch']}, validation {selection:.3f} (fused, all texts of {images} images); "
        f"results in {run}"
    )
    return info["result"]


def _copy_epoch(config: Config, epoch: Path, to: Path) -> None:
    """Copy a checkpoint, with the averages of its weights where training keeps them."""
    if config.training.weight_averaging:
        trained = load_model(epoch)
        with trained.averaged_weights():
            trained.save(to)
    else:
        shutil.copyfile(epoch, to)


def _completed(
    model: Any,
    vocabulary: list[str],
    source: Any,
    records: dict[str, RecordSplit],
    inputs: dict[str, "ImageInputs"],
    choices: EvaluationConfig,
    write: Callable[[str], None],
) -> tuple["Validation", list[str]]:
    """Complete a trained model by added words, canonical directions and a querybank.

    Args:
        model: not compiled; it is changed, or another one takes its place.
        vocabulary: that it was trained with.
        source: heads that training began with, or None.
        records: of "train" and "validation".
        inputs: of the same.
        choices: how they are made on the validation split.
        write: receives what was added, a line each.

    Returns:
        The model's embedder with the validation images that choices were made by, and the words that were added.
    """
    from dafsn_tf.evaluation.canonical import fit_canonical
    from dafsn_tf.evaluation.embedding import Embedder
    from dafsn_tf.evaluation.evaluate import Validation
    from dafsn_tf.evaluation.querybank import fit_querybank
    from dafsn_tf.models.transfer import brought_directions
    from dafsn_tf.models.vocabulary_expansion import with_added_words
    from dafsn_tf.preprocessing.text import TextPreprocessor

    config, added = model.config, added_words(model.config, vocabulary)
    words, text = [*vocabulary, *added], config.text
    vectors: Any = vectors_by_id(config, words) if added or config.fits_canonical else None
    if added:
        model = with_added_words(model, vectors)
        write(f"{len(added)} words of {text.embeddings} beside the trained ones are known by their vectors")
    embedder = Embedder(model, TextPreprocessor(words, text.max_words, text.oov_buckets))
    validation = Validation(embedder, records["validation"], inputs["validation"], choices, write)
    if config.fits_canonical:
        brought = None if source is None else brought_directions(model, source, words)
        fit_canonical(validation, records["train"], inputs["train"], vectors, write, brought)
    if config.fits_querybank:
        fit_querybank(validation, records["train"], inputs["train"], write)
    return validation, added
