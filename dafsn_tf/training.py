"""From a configuration and a prepared collection to a run folder, by `model.fit`."""

import dataclasses
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dafsn_tf.config import Config, load_config
from dafsn_tf.data.features import FrozenFeatures, cached_features
from dafsn_tf.data.records import Manifest, RecordSplit, open_split
from dafsn_tf.data.word_vectors import check_width
from dafsn_tf.errors import DataError, RunError
from dafsn_tf.runs import VOCABULARY, checkpoint, load_backbone, read_run_info, read_vocabulary, write_json

if TYPE_CHECKING:
    from dafsn_tf.data.pipeline import ImageInputs


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
        seed: of initial weights, order, chosen texts and dropout.
        resume: go on with an interrupted run of the same configuration, data and seed.
        write: receives progress, a line at a time.

    Returns:
        `{"best_epoch", "validation", "selection", "seconds", "epochs"}`.

    Raises:
        ConfigError, DataError, RunError, WeightsError: what the user can mend.
    """
    import keras

    from dafsn_tf.preprocessing.text import TextPreprocessor

    data, run = Path(data), Path(run)
    if not resume:
        _check_unused(run)
    manifest = Manifest.read(data)
    records = {name: open_split(data, name) for name in ("train", "validation")}
    if len(records["train"]) < 2:
        raise DataError(f"{data} has {len(records['train'])} training image; matching needs at least 2.")
    if config.text.embeddings != "none":
        check_width(config.text.embeddings, config.text.embedding_dim)
    backbone = load_backbone(config.image) if config.image.backbone == "inception_v3" else None
    identity = {
        "data": str(data),
        "dataset": manifest.name,
        "collection": manifest.digest,
        "seed": seed,
        "backbone_fingerprint": backbone.fingerprint() if backbone else None,  # its heads fit no other
    }
    if resume:
        info = _check_same(run, config, identity)
        if "result" in info:
            return info["result"]

    state = _state(run)
    source = None if state["epochs_done"] else _source(config, backbone)
    inputs = _image_inputs(config, data, records, backbone, write)
    vocabulary = read_vocabulary(run) if resume else _vocabulary(config, records["train"], source)
    if not resume:
        _begin(run, config, identity, manifest, vocabulary)
    keras.utils.set_random_seed(seed)
    text_preprocessor = TextPreprocessor(vocabulary, config.text.max_words, config.text.oov_buckets)
    config = dataclasses.replace(config, training=config.training.for_images(len(records["train"])))
    steps = len(records["train"]) // config.training.batch_size
    try:
        model = _model(config, vocabulary, manifest, inputs["train"], source, steps, run, state, write)
        _fit(model, config, records, inputs, text_preprocessor, run, state, seed, write)
    except Exception:
        if not state["epochs_done"]:
            shutil.rmtree(run, ignore_errors=True)  # what it holds so far would only be in the way of another try
        raise
    return _finish(config, text_preprocessor, records["validation"], inputs["validation"], run, state, write)


def _check_unused(run: Path) -> None:
    """Refuse a folder that cannot be written, or that holds something, before any work is done."""
    if run.is_dir() and any(run.iterdir()):
        raise RunError(f"{run} exists and is not empty. Choose another folder, or go on with it by --resume.")
    existing = next(path for path in (run, *run.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        found = "cannot be written to" if existing.is_dir() else "is a file"
        raise RunError(f"The run folder {run} cannot be made: {existing} {found}. Choose another folder.")


def _check_same(run: Path, config: Config, identity: dict[str, Any]) -> dict[str, Any]:
    """Return the contents of run.json, having refused another configuration, collection, seed or backbone."""
    info = read_run_info(run)
    if load_config(run / "config.toml") != config:
        raise RunError(f"{run} was begun with another configuration: resume it with --config {run}/config.toml.")
    for name in ("collection", "seed", "backbone_fingerprint"):
        if info[name] != identity[name]:
            raise RunError(
                f"{run} was begun with {name} {info[name]}, now {identity[name]}: use what it was begun with."
            )
    return info


def _begin(run: Path, config: Config, identity: dict[str, Any], manifest: Manifest, vocabulary: list[str]) -> None:
    """Write what identifies the run; run.json, which makes the folder one, comes last."""
    run.mkdir(parents=True, exist_ok=True)
    (run / VOCABULARY).write_text("\n".join(vocabulary), encoding="utf-8")
    (run / "config.toml").write_text(config.to_toml(), encoding="utf-8")
    write_json(
        run / "run.json",
        {
            **identity,
            "documents": manifest.documents,
            "classes": list(manifest.classes),
            "environment": _environment(),
            "command": sys.argv,
        },
    )


def _state(run: Path) -> dict[str, Any]:
    """Return what the run has reached so far."""
    stored = run / "state.json"
    if not stored.exists():
        return {"epochs_done": 0, "best_epoch": None, "best_value": None, "seconds": 0.0}
    state = json.loads(stored.read_text(encoding="utf-8"))
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


def _image_inputs(
    config: Config, data: Path, records: dict[str, RecordSplit], backbone: Any, write: Callable[[str], None]
) -> dict[str, "ImageInputs"]:
    """Return each split's frozen backbone features, or its images where the backbone is trained."""
    if backbone is None:
        from dafsn_tf.data.pipeline import decoded_images

        return {name: decoded_images(split, config.image.image_size) for name, split in records.items()}
    return {
        name: cached_features(data, split, config.image, backbone, _feature_progress(name, write))
        for name, split in records.items()
    }


def _feature_progress(split: str, write: Callable[[str], None]) -> Callable[[int, int], None]:
    import time

    from dafsn_tf.callbacks import LINE_EVERY

    first: list[Any] = []  # when the first block was done, and its images: it was compiled, no rate follows from it
    last = [time.monotonic()]

    def progress(done: int, total: int) -> None:
        now = time.monotonic()
        if not first:
            first.extend((now, done))
        if now - last[0] < LINE_EVERY and done < total:
            return
        last[0] = now
        rate = (done - first[1]) / (now - first[0]) if done > first[1] else 0.0
        pace = f", {rate:.1f} images/s" if rate else ""
        left = f", {(total - done) / rate / 60:.1f} min left" if rate and done < total else ""
        write(f"features of {split}: {done}/{total} images{pace}{left}")

    return progress


def _source(config: Config, backbone: Any) -> Any:
    """Return the heads that training begins with, or None.

    Raises:
        RunError, ConfigError, WeightsError: there are none, they do not fit the configuration, or not the backbone.
    """
    if config.training.from_preset == "none":
        return None
    from dafsn_tf.models.presets import check_fingerprint, load_heads, preset_folder
    from dafsn_tf.models.transfer import check_fits

    source = load_heads(preset_folder(config.training.from_preset))
    check_fits(config, source)
    if backbone is not None:
        if config.image.global_layer != source.config.image.global_layer:  # its fingerprint is of other layers
            backbone = load_backbone(dataclasses.replace(source.config.image, weights=config.image.weights))
        check_fingerprint(backbone, source.assets.info["backbone_fingerprint"])
    return source


def _vocabulary(config: Config, records: RecordSplit, source: Any = None) -> list[str]:
    """Return the words of the training split, after those of the model that training begins with; no others."""
    from dafsn_tf.preprocessing.text import build_vocabulary

    if records.split != "train":
        raise DataError(f"A vocabulary is built from the training split, not from '{records.split}'.")
    texts = (text for texts in records.texts for text in texts)
    words = build_vocabulary(texts, config.text.max_vocabulary, config.text.min_count)
    if not words:
        raise DataError(
            f"No word occurs {config.text.min_count} times in the training texts, so the vocabulary would be empty: "
            "lower text.min_count, or give texts that hold words."
        )
    if source is None:
        return words
    from dafsn_tf.models.transfer import joined_vocabulary

    return joined_vocabulary(source, words, config.text.max_vocabulary)


def _model(
    config: Config,
    vocabulary: list[str],
    manifest: Manifest,
    inputs: "ImageInputs",
    source: Any,
    steps: int,
    run: Path,
    state: dict[str, Any],
    write: Callable[[str], None],
) -> Any:
    import keras

    from dafsn_tf.models import DAFSN

    if state["epochs_done"]:
        return keras.models.load_model(checkpoint(run, state["epochs_done"]))
    classes = len(manifest.classes) if config.loss.label_weight else 0
    model = DAFSN(config, 1 + config.text.oov_buckets + len(vocabulary), classes, include_backbone=False)
    model.build()
    if config.text.embeddings != "none":
        write(_begin_embeddings(model.text_encoder, config.text.embeddings, vocabulary))
    encoder = model.image_encoder
    if isinstance(inputs, FrozenFeatures):
        encoder.region_standardizer.adapt(regions for regions, _ in inputs.batches())
        encoder.global_standardizer.adapt(whole for _, whole in inputs.batches())
    if source is not None:
        from dafsn_tf.models.transfer import begin_from

        begin_from(model, source)
        write(f"heads of {config.training.from_preset}: {len(source.assets.vocabulary)} words of {len(vocabulary)}")
    training, discriminator = config.training, config.discriminator
    optimizer = keras.optimizers.AdamW(
        _schedule(config, steps),
        weight_decay=training.weight_decay,
        beta_1=training.beta_1,
        global_clipnorm=training.clip_norm or None,
        use_ema=training.weight_averaging > 0,
        ema_momentum=training.weight_averaging,
    )
    optimizer.exclude_from_weight_decay(var_names=["log_gamma3"])  # 0 is no place to shrink a sharpness to
    model.compile(
        optimizer=optimizer,
        discriminator_optimizer=keras.optimizers.Adam(discriminator.learning_rate, beta_1=discriminator.beta_1),
        total_steps=steps * training.epochs,
    )
    return model


def _begin_embeddings(text_encoder: Any, source: str, vocabulary: list[str]) -> str:
    """Have word embeddings begin with known vectors; return for how many words in a line to print."""
    from dafsn_tf.data.word_vectors import initial_embeddings

    rows = text_encoder.embedding.embeddings.numpy()
    first = 1 + text_encoder.oov_buckets
    rows[first:], found = initial_embeddings(rows[first:], source, vocabulary)
    text_encoder.embedding.embeddings.assign(rows)
    return f"word vectors of {source}: {found} of {len(vocabulary)} words have one"


def _schedule(config: Config, steps: int) -> Any:
    """Return the learning rate by step: linear warm-up (none before an exponential decay), then as configured."""
    import keras

    training = config.training
    total = max(steps * training.epochs, 1)
    warmup = min(training.warmup_steps, total // 2)
    if training.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else training.learning_rate,
            max(total - warmup, 1),
            warmup_target=training.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    if training.schedule == "exponential":
        return keras.optimizers.schedules.ExponentialDecay(
            training.learning_rate, steps, training.decay_rate, staircase=True
        )
    if warmup:  # a line from 0, and its end from then on
        return keras.optimizers.schedules.PolynomialDecay(0.0, warmup, training.learning_rate)
    return training.learning_rate


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

    from dafsn_tf.callbacks import ProgressLines, RetrievalValidation, RunCheckpoint, StopAtNaN
    from dafsn_tf.data.pipeline import training_batches
    from dafsn_tf.evaluation.embedding import Embedder
    from dafsn_tf.evaluation.evaluate import validate

    training = config.training
    steps = len(records["train"]) // training.batch_size
    batches = training_batches(
        records["train"],
        text_preprocessor,
        image_size=config.image.image_size,
        batch_size=training.batch_size,
        seed=seed,
        epochs=training.epochs,
        first_epoch=state["epochs_done"],
        inputs=inputs["train"],
        flip=config.image.augmentation == "flip",
    )

    embedder = Embedder(model, text_preprocessor)

    def evaluate() -> dict[str, float]:
        with model.averaged_weights():
            return validate(embedder, records["validation"], inputs["validation"], config.evaluation)

    write(
        f"training on {len(records['train'])} images, {training.epochs} epochs of {steps} batches of "
        f"{training.batch_size}; {model.count_params():,} parameters; run folder {run}"
    )
    _keep_rows(run / "metrics.csv", state["epochs_done"])
    table = keras.callbacks.CSVLogger(str(run / "metrics.csv"), append=state["epochs_done"] > 0)
    try:
        model.fit(
            batches,
            epochs=training.epochs,
            initial_epoch=state["epochs_done"],
            steps_per_epoch=steps,
            verbose=0,
            shuffle=False,
            callbacks=[
                StopAtNaN(),
                RetrievalValidation(evaluate),
                table,
                keras.callbacks.TensorBoard(str(run / "tensorboard"), write_graph=False),
                ProgressLines(training.epochs, steps, training.batch_size, write),
                RunCheckpoint(run, state, training.patience),
            ],
        )
    finally:
        if table.csv_file is not None:  # Keras closes it only where training reaches its end
            table.csv_file.close()


def _keep_rows(path: Path, epochs: int) -> None:
    """Drop the rows of epochs that were interrupted before their checkpoint."""
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[: 1 + epochs]), encoding="utf-8")


def _finish(
    config: Config,
    text_preprocessor: Any,
    records: RecordSplit,
    inputs: "ImageInputs",
    run: Path,
    state: dict[str, Any],
    write: Callable[[str], None],
) -> dict[str, Any]:
    """Choose the fusion of the best epoch on all validation texts, and close the run."""
    import keras

    from dafsn_tf.evaluation.embedding import Embedder
    from dafsn_tf.evaluation.evaluate import choose_fusion

    aside, best = run / ".writing-best.keras", checkpoint(run, state["best_epoch"])
    if config.training.weight_averaging:
        trained: Any = keras.models.load_model(best)
        with trained.averaged_weights():
            trained.save(aside)
    else:
        shutil.copyfile(best, aside)
    os.replace(aside, run / "best.keras")
    model: Any = keras.models.load_model(run / "best.keras", compile=False)
    embedder = Embedder(model, text_preprocessor)
    all_texts = dataclasses.replace(config.evaluation, selection_texts=0)
    fusion, validation, selection = choose_fusion(embedder, records, inputs, all_texts)
    write_json(run / "fusion.json", fusion.to_dict())
    info = read_run_info(run)
    info["result"] = {
        "best_epoch": state["best_epoch"],
        "epochs": state["epochs_done"],
        "selection": selection,
        "validation": validation,
        "seconds": state["seconds"],
        "parameters": model.count_params(),
    }
    write_json(run / "run.json", info)
    for path in run.glob("epoch-*.keras"):
        path.unlink()
    write(
        f"best epoch {state['best_epoch']}, validation {selection:.3f} (fused, all texts of {len(records)} images); "
        f"results in {run}"
    )
    return info["result"]
