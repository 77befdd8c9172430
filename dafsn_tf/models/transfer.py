"""A model that begins where another one ended: heads trained on one collection are where training on another starts.

What photographs and captions have in common need not be learned anew from a small collection: the encoders bring it.
The label classifier is the collection's own.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from dafsn_tf.config import HEADS_FIELDS, Config
from dafsn_tf.errors import ConfigError
from dafsn_tf.layers.canonical_projections import FITTED_WEIGHTS
from dafsn_tf.models.dafsn import DAFSN


def check_fits(config: Config, source: DAFSN) -> None:
    """Refuse heads that a configuration's encoders cannot begin with.

    Raises:
        ConfigError: every field that differs, and what it must be.
    """
    preset = config.training.from_preset
    differing = [
        f"{path} is {config.get(path)!r}, there {source.config.get(path)!r}"
        for path in HEADS_FIELDS
        if path != "image.global_layer" and config.get(path) != source.config.get(path)
    ]
    if source.config.image.fine_tune_from != "none":  # its backbone comes along, as it is
        for name in ("fine_tune_from", "global_layer"):
            ours, theirs = getattr(config.image, name), getattr(source.config.image, name)
            differing += [f"image.{name} is {ours!r}, there {theirs!r}"] if ours != theirs else []
    ours, theirs = (set(image.global_layer.split("+")) for image in (config.image, source.config.image))
    if not theirs <= ours:
        differing.append(f"image.global_layer lacks {' and '.join(sorted(theirs - ours))}")
    if differing:
        raise ConfigError(
            f"Training cannot begin with the heads of {preset} (training.from_preset): {'; '.join(differing)}. "
            "Set these fields as they are there, or training.from_preset=none."
        )


def joined_vocabulary(source: DAFSN, words: list[str], most: int) -> list[str]:
    """Return the source's words in their order, then the others of a collection; `most` words at the most.

    The words of the source's training are kept in any case: their embeddings are trained.
    """
    known = source.assets.trained_words
    there = set(known)
    new = [word for word in words if word not in there]
    return [*known, *new[: max(most - len(known), 0)]]


def begin_from(model: DAFSN, source: DAFSN, vocabulary: Sequence[str]) -> None:
    """Have encoders, and a discriminator that took part there, begin with the weights of a source that `check_fits`.

    Args:
        model: built, its vocabulary a `joined_vocabulary`, its standardizers adapted. Layers of the backbone that the
            source does not read keep their statistics and have no say at first.
        source: heads, as `models.presets.load_heads` gives them.
        vocabulary: of the model. Words that the source knows by their vectors alone begin as it reads them.
    """
    ours, theirs = model.heads(), source.heads()
    whole = ["region_standardizer", "region_projection", "image_pooling", "backbone"]
    if (
        source.config.loss.has_adversary
        and model.config.discriminator.hidden_dim == source.config.discriminator.hidden_dim
    ):
        whole.append("discriminator")
    for name in whole:
        if name in theirs:
            ours[name].set_weights(theirs[name].get_weights())
    embeddings, *lstm = theirs["text_encoder"].get_weights()
    rows = ours["text_encoder"].get_weights()[0]
    trained = len(embeddings) - source.assets.added
    rows[:trained] = embeddings[:trained]
    place = {word: number for number, word in enumerate(vocabulary, start=len(rows) - len(vocabulary))}
    for number, word in enumerate(source.assets.vocabulary[len(source.assets.trained_words) :], start=trained):
        if word in place:
            rows[place[word]] = embeddings[number]
    ours["text_encoder"].set_weights([rows, *lstm])
    _begin_global(model, source)


def brought_directions(model: DAFSN, source: DAFSN, words: Sequence[str]) -> dict[str, np.ndarray] | None:
    """Return the canonical directions of the source as weights of the model's `canonical`.

    None where it has none, or where the model no longer standardises global vectors as the source does.

    Args:
        model: with canonical directions.
        source: heads that the model began with.
        words: all that the model knows, in the order of their ids. Those that the source does not know have no say.
    """
    if (
        source.canonical is None
        or not source.canonical.image_map.numpy().any()
        or not _standardize_alike(model, source)
    ):
        return None
    ours = {name: np.zeros(getattr(model.canonical, name).shape, np.float32) for name in FITTED_WEIGHTS}
    theirs = {name: getattr(source.canonical, name).numpy() for name in FITTED_WEIGHTS}
    first, source_first = (1 + config.text.oov_buckets for config in (model.config, source.config))
    places = {word: number for number, word in enumerate(source.assets.vocabulary, source_first)}
    pairs = [(number, places[word]) for number, word in enumerate(words, first) if word in places]
    here, there = np.array(pairs, int).reshape(-1, 2).T
    kept = slice(min(model.canonical.dim, source.canonical.dim))  # the strongest come first
    ours["idf"][here] = theirs["idf"][there]
    ours["rows"][here, kept] = theirs["rows"][there, kept]
    for channels, source_channels in _shared_channels(model, source):
        ours["image_map"][channels, kept] = theirs["image_map"][source_channels, kept]
    for name in ("text_bias", "image_bias"):
        ours[name][kept] = theirs[name][kept]
    return ours


def _standardize_alike(model: DAFSN, source: DAFSN) -> bool:
    """Return whether the channels of each layer that both read have the same statistics."""
    ours, theirs = (each.image_encoder.global_standardizer.get_weights() for each in (model, source))
    return all(
        np.allclose(mine[channels], yours[source_channels])
        for channels, source_channels in _shared_channels(model, source)
        for mine, yours in zip(ours, theirs, strict=True)
    )


def _begin_global(model: DAFSN, source: DAFSN) -> None:
    """Copy what belongs to each layer that both read: statistics, and rows of the projection."""
    ours, theirs = model.heads(), source.heads()
    shared = _shared_channels(model, source) if "global_standardizer" in theirs else []
    if shared:
        statistics = ours["global_standardizer"].get_weights()
        known = theirs["global_standardizer"].get_weights()
        for channels, source_channels in shared:
            for values, source_values in zip(statistics, known, strict=True):
                values[channels] = source_values[source_channels]
        ours["global_standardizer"].set_weights(statistics)
    kernel, bias = theirs["global_projection"].get_weights()
    if not shared or source.image_encoder.pooling is not None:  # it reads other channels than these
        ours["global_projection"].set_weights([kernel, bias])
        return
    rows = np.zeros_like(ours["global_projection"].get_weights()[0])
    for channels, source_channels in shared:
        rows[channels] = kernel[source_channels]
    ours["global_projection"].set_weights([rows, bias])


def _shared_channels(model: DAFSN, source: DAFSN) -> list[tuple[slice, slice]]:
    """Return the model's and the source's channels of each layer that both read."""
    here = _channels(model)
    return [(here[layer], channels) for layer, channels in _channels(source).items()]


def _channels(model: DAFSN) -> dict[str, slice]:
    """Return which of the global vector's channels come from which layer of the backbone."""
    widths: Any = model.image_encoder.global_standardizer.widths
    bounds = [slice(*ends) for ends in pairwise(accumulate(widths, initial=0))]
    return dict(zip(model.config.image.global_layer.split("+"), bounds, strict=True))
