"""What a training is made of: its inputs, its words, the model it begins with, and epochs that validation judges."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dafsn_tf.config import Config, load_config
from dafsn_tf.data.features import FrozenFeatures, cached_features
from dafsn_tf.data.records import RecordSplit, open_split
from dafsn_tf.data.word_vectors import check_width, source_words, word_vectors
from dafsn_tf.errors import DataError
from dafsn_tf.pretrained import shipped_models
from dafsn_tf.runs import features_progress, load_backbone, read_vocabulary

if TYPE_CHECKING:
    from dafsn_tf.data.pipeline import ImageInputs

_PHOTOGRAPHS = "photographs"  # the preset that begins with shipped heads
_FEW_KNOWN = 0.5  # share of a collection's words that heads should know, to begin with them
_FEW_IMAGES = 1000  # training images below which shipped heads are recommended; compare-photos-few has 320
_ADAPTED = 1024  # images whose features the standardizers of a fine-tuned backbone adapt to


def open_records(data: Path, config: Config) -> dict[str, RecordSplit]:
    """Return the records that training reads: of the training and the validation split, and of no other.

    Raises:
        DataError: too few images. ConfigError: word vectors that do not fit the embeddings.
    """
    records = {name: open_split(data, name) for name in ("train", "validation")}
    if len(records["train"]) < 2:
        raise DataError(f"{data} has {len(records['train'])} training image; matching needs at least 2.")
    if config.text.embeddings != "none":
        check_width(config.text.embeddings, config.text.embedding_dim)
    return records


def image_inputs(
    config: Config, data: Path, records: dict[str, RecordSplit], backbone: Any, write: Callable[[str], None]
) -> dict[str, "ImageInputs"]:
    """Return each split's features of a frozen backbone, or its images where the backbone is trained."""
    if config.image.trains_backbone:
        from dafsn_tf.data.decoding import decoded_images

        return {name: decoded_images(split, config.image.image_size) for name, split in records.items()}
    return {
        name: cached_features(data, split, config.image, backbone, features_progress(name, write))
        for name, split in records.items()
    }


def source_heads(config: Config, backbone: Any) -> Any:
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
    if backbone is not None and source.image_encoder.backbone is None:  # one that was fine-tuned comes along
        if config.image.global_layer != source.config.image.global_layer:  # its fingerprint is of other layers
            backbone = load_backbone(dataclasses.replace(source.config.image, weights=config.image.weights))
        check_fingerprint(backbone, source.assets.info["backbone_fingerprint"])
    return source


def shipped_heads_hint(config: Config, records: RecordSplit, vocabulary: Sequence[str]) -> str:
    """Return a line that names the preset `photographs`, or "" where it promises nothing.

    It promises something where few pictures without classes are learned from scratch over features of Inception-v3, and
    the heads that the preset begins with know half of the texts' words.

    Args:
        config: of the training.
        records: of its training split.
        vocabulary: of the same.
    """
    heads = load_config(_PHOTOGRAPHS).training.from_preset
    begun, few = config.training.from_preset != "none", len(records) < _FEW_IMAGES
    if (
        heads not in shipped_models()
        or begun
        or config.image.trains_backbone
        or not few
        or records.labels.any()
        or records.manifest.name == heads
    ):
        return ""
    known = set(read_vocabulary(shipped_models()[heads])).intersection(vocabulary)
    if len(known) < _FEW_KNOWN * len(vocabulary):
        return ""
    return (
        f"the shipped heads of {heads} know {len(known)} of these {len(vocabulary)} words: if the pictures are "
        f"photographs, --config {_PHOTOGRAPHS} may find more; it begins with those heads, on their terms"
    )


def added_words(config: Config, vocabulary: Sequence[str]) -> list[str]:
    """Return the words that a trained model shall know by their vectors: `text.added_words` beside its vocabulary.

    Words that the tokeniser would cut are passed over; without known words in the vocabulary there is nothing to learn
    from, and there are none.

    Args:
        config: says which and how many.
        vocabulary: words that training texts have.
    """
    from dafsn_tf.preprocessing.text import whole_words

    if config.text.embeddings == "none" or not config.text.added_words:
        return []
    there, met, words = set(vocabulary), set(), source_words(config.text.embeddings)

    def others() -> Iterator[str]:
        for word in words:
            if word not in there and word not in met:
                yield word
            met.add(word)

    added = list(islice(whole_words(others()), config.text.added_words))  # no further line of a file is read
    known = not there.isdisjoint(met) or any(word in there for word in words)
    return added if known else []


def vectors_by_id(config: Config, words: Sequence[str]) -> np.ndarray:
    """Return the vectors (ids, d) of `text.embeddings` by word id, zero for words and ids that have none.

    Args:
        config: names the vectors; where it names none, d is 1.
        words: all that a model knows, in the order of their ids.
    """
    first = 1 + config.text.oov_buckets
    if config.text.embeddings == "none":
        return np.zeros((first + len(words), 1), np.float32)
    found, vectors = word_vectors(config.text.embeddings, words)
    by_id = np.zeros((first + len(words), max(vectors.shape[1], 1)), np.float32)
    by_id[first + np.flatnonzero(found), : vectors.shape[1]] = vectors
    return by_id


def training_vocabulary(config: Config, records: RecordSplit, source: Any = None) -> list[str]:
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


def initial_model(
    config: Config,
    vocabulary: list[str],
    records: RecordSplit,
    inputs: Any,
    source: Any = None,
    write: Callable[[str], None] = print,
) -> Any:
    """Return the model that training begins with, compiled, its optimizers built.

    Args:
        config: everything but data and seed, its batches those of `TrainingConfig.for_images`.
        vocabulary: of `training_vocabulary`.
        records: of the training split.
        inputs: of the same.
        source: of `source_heads`.
        write: receives what the words and heads begin with, a line each.
    """
    from dafsn_tf.models import DAFSN

    classes = len(records.manifest.classes) if config.loss.label_weight else 0
    model = DAFSN(config, 1 + config.text.oov_buckets + len(vocabulary), classes, include_backbone=False)
    model.build()
    brought = 0 if source is None else len(source.assets.trained_words)  # which come first
    if config.text.embeddings != "none":
        write(_begin_embeddings(model.text_encoder, config.text.embeddings, vocabulary, brought))
    _begin_images(model.image_encoder, config, records, inputs)
    if source is not None:
        from dafsn_tf.models.transfer import begin_from

        begin_from(model, source, vocabulary)
        own = training_vocabulary(config, records)
        known = len(set(own) & set(vocabulary[:brought]))
        write(
            f"heads of {config.training.from_preset}: they know {known} of the {len(own)} words of the training texts"
        )
        if known < _FEW_KNOWN * len(own):
            write("those are few: texts of another language, or of other things, may find more with --config default")
    compile_model(model, config, len(records))
    return model


def compile_model(model: Any, config: Config, images: int) -> None:
    """Give a built model its optimizers and its number of steps, for so many training images."""
    import keras

    training, discriminator = config.training, config.discriminator
    steps = training.steps_per_epoch(images)
    common: dict[str, Any] = {
        "beta_1": training.beta_1,
        "global_clipnorm": training.clip_norm or None,
        "use_ema": training.weight_averaging > 0,
        "ema_momentum": training.weight_averaging,
    }
    model.compile(
        optimizer=keras.optimizers.AdamW(
            learning_rate_schedule(config, steps, training.learning_rate), weight_decay=training.weight_decay, **common
        ),
        discriminator_optimizer=keras.optimizers.Adam(discriminator.learning_rate, beta_1=discriminator.beta_1),
        backbone_optimizer=keras.optimizers.Adam(
            learning_rate_schedule(config, steps, training.backbone_learning_rate), **common
        ),
        total_steps=steps * training.epochs,
    )


def _begin_images(encoder: Any, config: Config, records: RecordSplit, inputs: Any) -> None:
    """Load a pre-trained backbone that is to be fine-tuned; have standardizers adapt to what the backbone gives."""
    if encoder.backbone is not None and encoder.backbone.pretrained:
        encoder.backbone.load_pretrained(config.image.weights)
        inputs = _first_features(encoder.backbone, config.image.image_size, records)
    if isinstance(inputs, FrozenFeatures):
        encoder.region_standardizer.adapt(regions for regions, _ in inputs.batches())
        encoder.global_standardizer.adapt(whole for _, whole in inputs.batches())


def _first_features(backbone: Any, image_size: int, records: RecordSplit) -> FrozenFeatures:
    """Return what a backbone gives before it is fine-tuned, for some images spread over a split."""
    from dafsn_tf.data.decoding import image_batches

    chosen = np.linspace(0, len(records) - 1, min(len(records), _ADAPTED)).astype(int)
    encoded = [
        {name: features.numpy().astype("float16") for name, features in backbone(images).items()}
        for images in image_batches(records, chosen, image_size, 32)
    ]
    regions, whole = (np.concatenate([batch[name] for batch in encoded]) for name in ("regions", "global"))
    return FrozenFeatures(regions[:, None], whole[:, None])


def _begin_embeddings(text_encoder: Any, source: str, vocabulary: list[str], brought: int) -> str:
    """Have word embeddings begin with known vectors; return for how many words in a line to print.

    The first `brought` words have theirs from elsewhere.
    """
    from dafsn_tf.data.word_vectors import initial_embeddings

    rows = text_encoder.embedding.embeddings.numpy()
    first, words = 1 + text_encoder.oov_buckets + brought, vocabulary[brought:]
    rows[first:], found = initial_embeddings(rows[first:], source, words)
    text_encoder.embedding.embeddings.assign(rows)
    return f"word vectors of {source}: {found} of {len(words)} {'other ' if brought else ''}words have one"


def learning_rate_schedule(config: Config, steps: int, peak: float) -> Any:
    """Return the learning rate by step: linear warm-up (none before an exponential decay), then as configured.

    Linear warm-up: Goyal et al., Accurate, Large Minibatch SGD, 2017; cosine: Loshchilov and Hutter, SGDR, ICLR 2017;
    exponential, a step an epoch: AttnGAN's released code.
    """
    import keras

    training = config.training
    total = max(steps * training.epochs, 1)
    warmup = min(training.warmup_steps, total // 2)
    if training.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else peak,
            max(total - warmup, 1),
            warmup_target=peak if warmup else None,
            warmup_steps=warmup,
        )
    if training.schedule == "exponential":
        return keras.optimizers.schedules.ExponentialDecay(peak, steps, training.decay_rate, staircase=True)
    if warmup:  # a line from 0, and its end from then on
        return keras.optimizers.schedules.PolynomialDecay(0.0, warmup, peak)
    return peak


def fit(
    model: Any,
    config: Config,
    records: dict[str, RecordSplit],
    inputs: dict[str, "ImageInputs"],
    text_preprocessor: Any,
    seed: int,
    epochs: tuple[int, int],
    callbacks: Sequence[Any],
) -> Any:
    """Train a model for some epochs, each judged on the validation split, and return Keras' history.

    Args:
        model: of `initial_model`, or as it was after `epochs[0]` epochs.
        config: as `initial_model` was given it.
        records: of the splits "train" and "validation"; no other is read.
        inputs: of `image_inputs`.
        text_preprocessor: tokeniser and vocabulary.
        seed: of order, chosen texts and mirrored images; an epoch depends on it and on its number alone.
        epochs: done before, and to be done in all.
        callbacks: find `val_retrieval`, to choose by, among the logs of an epoch.

    Raises:
        RunError: the loss is not finite.
    """
    from dafsn_tf.callbacks import RetrievalValidation, StopAtNaN
    from dafsn_tf.data.pipeline import training_batches
    from dafsn_tf.evaluation.embedding import Embedder, selection_sample
    from dafsn_tf.evaluation.evaluate import validate

    training, (first_epoch, last_epoch) = config.training, epochs
    passes = training.passes(len(records["train"]))
    batches = training_batches(
        records["train"],
        text_preprocessor,
        image_size=config.image.image_size,
        batch_size=training.batch_size,
        seed=seed,
        epochs=last_epoch * passes,
        first_epoch=first_epoch * passes,
        inputs=inputs["train"],
        flip=config.image.augmentation == "flip",
    )
    embedder = Embedder(model, text_preprocessor)
    validated = selection_sample(records["validation"], inputs["validation"], config.evaluation)

    def evaluate() -> dict[str, float]:
        with model.averaged_weights():
            return validate(embedder, *validated, config.evaluation)

    return model.fit(
        batches,
        epochs=last_epoch,
        initial_epoch=first_epoch,
        steps_per_epoch=training.steps_per_epoch(len(records["train"])),
        verbose=0,
        shuffle=False,
        callbacks=[StopAtNaN(), RetrievalValidation(evaluate), *callbacks],
    )
