"""From a configuration and a prepared collection to a run folder, by `model.fit`."""

import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dafsn_tf.config import Config, load_config
from dafsn_tf.data.features import FrozenFeatures, cached_features
from dafsn_tf.data.records import Manifest, RecordSplit, open_split
from dafsn_tf.errors import DataError, RunError
from dafsn_tf.runs import load_backbone, read_run_info, write_json

if TYPE_CHECKING:
    from dafsn_tf.data.pipeline import ImageInputs


def train(
    config: Config,
    data: Path,
    run: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    write: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train a model and return the result that `run.json` keeps.

    Args:
        config: everything but data and seed.
        data: a collection made by `prepare`.
        run: folder to write; see `dafsn_tf.runs` for what it holds.
        seed: of initial weights, order, chosen texts and dropout.
        resume: go on with an interrupted run of the same configuration, data and seed.
        write: receives progress, a line at a time.

    Returns:
        `{"best_epoch", "validation", "selection", "seconds", "epochs"}`.

    Raises:
        ConfigError, DataError, RunError, WeightsError: what the user can mend.
    """
    import keras

    manifest = Manifest.read(data)
    records = {name: open_split(data, name) for name in ("train", "validation")}
    if len(records["train"]) < 2:
        raise DataError(f"{data} has {len(records['train'])} training image; matching needs at least 2.")
    backbone = load_backbone(config.image) if config.image.backbone == "inception_v3" else None
    state = _open_run(config, data, run, manifest, backbone, seed, resume)
    if "result" in read_run_info(run):
        return read_run_info(run)["result"]

    inputs = _image_inputs(config, data, records, backbone, write)
    keras.utils.set_random_seed(seed)
    text_preprocessor = _text_preprocessor(config, records["train"], run)
    batch_size = min(config.training.batch_size, len(records["train"]))
    steps = len(records["train"]) // batch_size
    model = _model(config, text_preprocessor, manifest, inputs["train"], steps, run if resume else None)
    _fit(model, config, records, inputs, text_preprocessor, run, state, seed, batch_size, write)
    return _finish(config, text_preprocessor, records["validation"], inputs["validation"], run, state, write)


def _open_run(
    config: Config, data: Path, run: Path, manifest: Manifest, backbone: Any, seed: int, resume: bool
) -> dict[str, Any]:
    """Return the run's state, having written or checked what identifies the run.

    The fingerprint of a frozen backbone is part of it: its heads fit no other.
    """
    identity = {
        "data": str(data),
        "dataset": manifest.name,
        "collection": manifest.digest,
        "seed": seed,
        "backbone_fingerprint": backbone.fingerprint() if backbone else None,
    }
    if resume:
        info = read_run_info(run)
        if load_config(run / "config.toml") != config:
            raise RunError(f"{run} was begun with another configuration: resume it with --config {run}/config.toml.")
        for name in ("collection", "seed", "backbone_fingerprint"):
            if info[name] != identity[name]:
                raise RunError(
                    f"{run} was begun with {name} {info[name]}, now {identity[name]}: use what it was begun with."
                )
        state = run / "state.json"
        if state.exists():
            return json.loads(state.read_text(encoding="utf-8"))
    elif run.exists() and any(run.iterdir()):
        raise RunError(f"{run} exists and is not empty. Choose another folder, or go on with it by --resume.")
    else:
        run.mkdir(parents=True, exist_ok=True)
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
    return {"epochs_done": 0, "best_epoch": None, "best_value": None, "seconds": 0.0}


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

    began: list[tuple[float, int]] = []

    def progress(done: int, total: int) -> None:
        now = time.monotonic()
        began.append((now, done))
        if len(began) % 8 == 0 or done == total:
            seconds, images = now - began[0][0], done - began[0][1]
            rate = images / seconds if seconds and images else 0.0
            left = f", {(total - done) / rate / 60:.1f} min left" if rate and done < total else ""
            write(f"features of {split}: {done}/{total} images, {rate:.1f} images/s{left}")

    return progress


def _text_preprocessor(config: Config, records: RecordSplit, run: Path) -> Any:
    """Return the tokeniser over the vocabulary of the training split, and of nothing else."""
    from dafsn_tf.preprocessing.text import TextPreprocessor, build_vocabulary

    if records.split != "train":
        raise DataError(f"A vocabulary is built from the training split, not from '{records.split}'.")
    path = run / "vocabulary.txt"
    if not path.exists():
        texts = (text for texts in records.texts for text in texts)
        words = build_vocabulary(texts, config.text.max_vocabulary, config.text.min_count)
        path.write_text("\n".join(words), encoding="utf-8")
    vocabulary = path.read_text(encoding="utf-8").split("\n")
    return TextPreprocessor(vocabulary, config.text.max_words, config.text.oov_buckets)


def _model(
    config: Config,
    text_preprocessor: Any,
    manifest: Manifest,
    inputs: "ImageInputs",
    steps: int,
    resumed: Path | None,
) -> Any:
    import keras

    from dafsn_tf.models import DAFSN

    if resumed is not None and (resumed / "last.keras").exists():
        return keras.models.load_model(resumed / "last.keras")
    classes = len(manifest.classes) if config.loss.label_weight else 0
    model = DAFSN(config, text_preprocessor.vocabulary_size, classes, include_backbone=False)
    model.build()
    encoder = model.image_encoder
    if isinstance(inputs, FrozenFeatures):
        encoder.region_standardizer.adapt(regions for regions, _ in inputs.batches())
        encoder.global_standardizer.adapt(whole for _, whole in inputs.batches())
    training, discriminator = config.training, config.discriminator
    model.compile(
        optimizer=keras.optimizers.AdamW(
            _schedule(config, steps),
            weight_decay=training.weight_decay,
            beta_1=training.beta_1,
            global_clipnorm=training.clip_norm or None,
        ),
        discriminator_optimizer=keras.optimizers.Adam(discriminator.learning_rate, beta_1=discriminator.beta_1),
        total_steps=steps * training.epochs,
    )
    return model


def _schedule(config: Config, steps: int) -> Any:
    """Return the learning rate by step: linear warm-up, then the configured decay."""
    import keras

    training = config.training
    total = max(steps * training.epochs, 1)
    if training.schedule == "cosine":
        warmup = min(training.warmup_steps, total // 2)
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
    batch_size: int,
    write: Callable[[str], None],
) -> None:
    import keras

    from dafsn_tf.callbacks import EpochLines, RetrievalValidation, RunCheckpoint
    from dafsn_tf.data.pipeline import training_batches
    from dafsn_tf.evaluation.embedding import Embedder
    from dafsn_tf.evaluation.evaluate import validate

    training = config.training
    steps = len(records["train"]) // batch_size
    batches = training_batches(
        records["train"],
        text_preprocessor,
        image_size=config.image.image_size,
        batch_size=batch_size,
        seed=seed,
        epochs=training.epochs,
        first_epoch=state["epochs_done"],
        inputs=inputs["train"],
        flip=config.image.augmentation == "flip",
    )

    embedder = Embedder(model, text_preprocessor)

    def evaluate() -> dict[str, float]:
        return validate(embedder, records["validation"], inputs["validation"], config.evaluation)

    write(
        f"training on {len(records['train'])} images, {steps} batches of {batch_size} an epoch; "
        f"{model.count_params():,} parameters; run folder {run}"
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
                RetrievalValidation(evaluate),
                table,
                keras.callbacks.TensorBoard(str(run / "tensorboard"), write_graph=False),
                EpochLines(training.epochs, steps * batch_size, write),
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
    """Choose the fusion of the best epoch on validation and close the run."""
    import keras

    from dafsn_tf.evaluation.embedding import Embedder
    from dafsn_tf.evaluation.evaluate import choose_fusion

    model: Any = keras.models.load_model(run / "best.keras", compile=False)
    embedder = Embedder(model, text_preprocessor)
    fusion, validation, selection = choose_fusion(embedder, records, inputs, config.evaluation)
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
    write(f"best epoch {state['best_epoch']}, validation {selection:.3f} (fused); results in {run}")
    return info["result"]
