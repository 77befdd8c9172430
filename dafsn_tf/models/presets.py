"""Models that people pass on: a folder with the heads in half precision and everything they need to answer.

FOLDER/
  config.toml       the configuration
  vocabulary.txt    one word a line, those of training
  added_words.txt   one word a line, others that are known by their vectors, if any
  heads.npz         weights of everything but a frozen backbone, kernels in float16; factors of added words' rows
  fusion.json       how scores are mixed
  run.json          data set, classes, seed, fingerprint of the frozen backbone, figures
  README.md         the model card

Heads fit only the backbone they were trained on; its weights are not part of the folder.
"""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dafsn_tf.config import Config, stored_config
from dafsn_tf.errors import RunError, WeightsError
from dafsn_tf.layers.backbones import INCEPTION_FILE, NAME_WEIGHTS
from dafsn_tf.models.dafsn import DAFSN
from dafsn_tf.models.factored_rows import factor
from dafsn_tf.pretrained import ADDED_WORDS, HEADS, read_added_words, shipped_models

_TABLES = ("text_encoder/0", "canonical/0")  # weights with a row a word
_IDF = "canonical/1"  # of every word
_FACTORS = ("added/words", "added/columns")  # their product has rows of added words, of one table beside the other
_UNSEEN, _SEEN_ROWS = "added/unseen", "added/rows"  # which of the added words' rows these are, and the other rows


@dataclass(frozen=True)
class Assets:
    """What a model needs beside its weights to answer for raw texts and pictures.

    Attributes:
        vocabulary: all words that the model knows, in the order of their ids.
        fusion: `evaluation.fusion.Fusion` as a dictionary.
        info: of the run: "dataset", "derived_from", "classes", "documents", "seed", "backbone_fingerprint", "result".
        added: how many of the vocabulary's last words were not trained; they are known by their vectors.
    """

    vocabulary: tuple[str, ...]
    fusion: dict[str, float]
    info: dict[str, Any]
    added: int = 0

    @property
    def trained_words(self) -> tuple[str, ...]:
        """The words of training."""
        return self.vocabulary[: len(self.vocabulary) - self.added]


def preset_folder(folder_or_name: str | Path) -> Path:
    """Return the folder of a saved preset, or of one that the package ships.

    Raises:
        RunError: neither; the shipped ones are named.
    """
    if Path(folder_or_name).joinpath(HEADS).is_file():
        return Path(folder_or_name)
    found = shipped_models().get(str(folder_or_name))
    if found is None:
        raise RunError(
            f"'{folder_or_name}' is neither a folder with {HEADS} nor a model that the package ships "
            f"({', '.join(shipped_models()) or 'none'}). Make one with model.save_to_preset(FOLDER)."
        )
    return found


def save_preset(model: DAFSN, folder: str | Path, terms: str = "") -> Path:
    """Write a model to a folder, aside first, and return the folder.

    Args:
        model: with its `assets`, as `load_run` and `from_preset` give it.
        folder: absent or empty.
        terms: what users must know of the data's licence; part of the card. A model of a preset brings its own.

    Raises:
        RunError: a model without assets, or a folder that holds something.
    """
    folder = Path(folder)
    if model.assets is None:
        raise RunError(
            "This model knows no vocabulary, so nobody could ask it in words. Save the model of a finished run: "
            "load_run(RUN).model.save_to_preset(FOLDER)."
        )
    if folder.exists() and any(folder.iterdir()):
        raise RunError(f"{folder} exists and is not empty. Choose another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    np.savez_compressed(aside / HEADS, **_stored(dict(_weights(model)), model.assets.added))
    (aside / "config.toml").write_text(_portable(model.config).to_toml(), encoding="utf-8")
    trained = model.assets.trained_words
    (aside / "vocabulary.txt").write_text("\n".join(trained), encoding="utf-8")
    if model.assets.added:
        added = model.assets.vocabulary[len(trained) :]
        (aside / ADDED_WORDS).write_text("\n".join(added), encoding="utf-8")
    terms = terms or model.assets.info.get("terms", "")
    info = model.assets.info | {"terms": terms}
    for name, values in (("fusion.json", model.assets.fusion), ("run.json", info)):
        (aside / name).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    (aside / "README.md").write_text(_card(model, folder.name, terms), encoding="utf-8")
    if folder.exists():
        folder.rmdir()
    os.replace(aside, folder)
    return folder


def load_heads(folder: Path) -> DAFSN:
    """Return the model of a preset's folder with its assets, without a frozen backbone.

    Raises:
        RunError: weights that do not fit the configuration beside them.
    """
    config = stored_config(folder / "config.toml")
    info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    added = read_added_words(folder)
    vocabulary = [*(folder / "vocabulary.txt").read_text(encoding="utf-8").split("\n"), *added]
    fusion = json.loads((folder / "fusion.json").read_text(encoding="utf-8"))
    with np.load(folder / HEADS) as stored:
        weights = _complete({name: stored[name].astype("float32") for name in stored.files})
    classes = len(info["classes"]) if any(name.startswith("classifier/") for name in weights) else 0
    model = DAFSN(config, 1 + config.text.oov_buckets + len(vocabulary), classes, include_backbone=False)
    model.build()
    expected = {name: array.shape for name, array in _weights(model)}
    if not config.loss.has_adversary:  # earlier versions passed on a discriminator that took no part
        weights = {name: array for name, array in weights.items() if not name.startswith("discriminator/")}
    if expected != {name: array.shape for name, array in weights.items()}:
        raise RunError(f"{folder / HEADS} does not fit {folder / 'config.toml'}: take both from one model.")
    for name, layer in _passed_on(model).items():
        layer.set_weights([weights[f"{name}/{number}"] for number in range(len(layer.get_weights()))])
    model.assets = Assets(tuple(vocabulary), fusion, info, len(added))
    return model


def with_backbone(model: DAFSN, weights: str) -> DAFSN:
    """Return a model with its frozen backbone, so that it reads pixels; itself where it has one.

    Args:
        model: heads, with assets.
        weights: as `image.weights` of a configuration.

    Raises:
        WeightsError: the backbone's weights cannot be had, or are not those of training.
    """
    if model.image_encoder.backbone is not None:
        return model
    complete = DAFSN(model.config, model.vocabulary_size, model.num_classes, include_backbone=True)
    complete.build()
    complete.image_encoder.backbone.load_pretrained(weights)
    check_fingerprint(complete.image_encoder.backbone, model.assets.info["backbone_fingerprint"])
    ours = complete.heads()
    for name, layer in model.heads().items():
        ours[name].set_weights(layer.get_weights())
    complete.assets = model.assets
    return complete


def check_fingerprint(backbone: Any, expected: str) -> None:
    """Refuse a backbone other than the one the heads were trained on.

    Raises:
        WeightsError: other weights.
    """
    found = backbone.fingerprint()
    if found != expected:
        raise WeightsError(
            f"These heads were trained over a backbone with fingerprint {expected[:12]}..., the weights given have "
            f"{found[:12]}... (of {backbone.region_layer} and {backbone.global_layer}, and what lies below). Use the "
            f"weights of training, most often {INCEPTION_FILE} of Keras Applications. {NAME_WEIGHTS}"
        )


def untaught_words(config: Config) -> str:
    """Return what is to be known of a model that has no loss of words; "" of others."""
    if config.loss.learns_words:
        return ""
    return (
        "Its words were taught by no loss (loss.word_weight and loss.fused_weight are 0): where they look and how they "
        "score says nothing, and they have no part in the fused score."
    )


def ancestry_lines(info: dict[str, Any]) -> list[str]:
    """Return what a card says of the heads that a model's training began with, a sentence each; often nothing.

    Args:
        info: of the run.
    """
    return [
        f"Training began with heads trained on {one['dataset']}, whose data's terms hold too"
        f"{': ' + one['terms'] if one['terms'] else '.'}"
        for one in info.get("derived_from", [])
    ]


def validation_size(info: dict[str, Any]) -> str:
    """Return on how many pictures a run's validation figures stand, in brackets; nothing where it does not say."""
    images = info.get("result", {}).get("validation_images")
    return f" ({images:,} pictures)" if images else ""


def _portable(config: Config) -> Config:
    """Return a configuration without the path of a weights file, which stands elsewhere on another machine."""
    if config.image.weights in ("imagenet", "none"):
        return config
    return replace(config, image=replace(config.image, weights="imagenet"))


def _passed_on(model: DAFSN) -> dict[str, Any]:
    """Return the layers whose weights are kept by name; a discriminator that took no part begins anew."""
    played = model.config.loss.has_adversary
    return {name: layer for name, layer in model.heads().items() if name != "discriminator" or played}


def _weights(model: DAFSN) -> Iterable[tuple[str, np.ndarray]]:
    for name, layer in _passed_on(model).items():
        for number, array in enumerate(layer.get_weights()):
            yield f"{name}/{number}", array


def _stored(weights: dict[str, np.ndarray], added: int) -> dict[str, Any]:
    """Return weights as they are kept: narrow, rows of the `added` last words as factors where that is smaller.

    Rows of those that stand in training texts all the same, too rarely to be trained, do not follow from vectors alone.
    """
    tables = [name for name in _TABLES if name in weights]
    rows = np.concatenate([weights[name][-added:] for name in tables], axis=1) if added else np.zeros((0, 1))
    rarity = weights[_IDF][-added:] if _IDF in weights else np.ones(added)
    unseen = rarity == rarity.max(initial=0)
    factors = factor(rows[unseen])
    if factors is None:
        return {name: _narrow(array) for name, array in weights.items()}
    shorter = weights | {name: weights[name][:-added] for name in tables} | {_SEEN_ROWS: rows[~unseen]}
    kept = {name: _narrow(array) for name, array in shorter.items()}
    return kept | dict(zip(_FACTORS, factors, strict=True)) | {_UNSEEN: unseen}


def _complete(stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return weights with the rows of added words, which were kept as factors or as they are."""
    if _UNSEEN not in stored:
        return stored
    left, right = (stored.pop(name) for name in _FACTORS)
    unseen = stored.pop(_UNSEEN).astype(bool)
    rows = np.empty((len(unseen), right.shape[1]), "float32")
    rows[unseen], rows[~unseen] = left @ right, stored.pop(_SEEN_ROWS)
    tables = [name for name in _TABLES if name in stored]
    parts = np.split(rows, np.cumsum([stored[name].shape[1] for name in tables])[:-1], axis=1)
    return stored | {name: np.concatenate([stored[name], part]) for name, part in zip(tables, parts, strict=True)}


def _narrow(array: np.ndarray) -> np.ndarray:
    """Return kernels and embeddings in float16; biases and statistics are few, and variances leave its range."""
    return array.astype("float16") if array.ndim > 1 else array


def _card(model: DAFSN, name: str, terms: str) -> str:
    info = model.assets.info
    lines = [f"# {name}", "", f"A DAFSN model trained on {info['dataset']}, seed {info['seed']}."]
    lines += [f"\n{line}" for line in ancestry_lines(info)]
    if info["classes"]:
        lines += ["", f"Classes: {', '.join(info['classes'])}."]
    fingerprint = info["backbone_fingerprint"]
    if fingerprint:
        used = f"{model.config.image.region_layer} and {model.config.image.global_layer}"
        lines += ["", f"Needs Inception-v3's ImageNet weights ({used}; fingerprint {fingerprint}), which are not here."]
    validation = info.get("result", {}).get("validation")
    if validation:
        protocol, scores = next(iter(validation["protocols"].items()))
        lines += ["", f"Validation split{validation_size(info)}, protocol {protocol}, fused score:", ""]
        for direction, values in scores["fused"].items():
            figures = ", ".join(f"{metric} {values[metric]:.3f}" for metric in ("map@all", "recall@1", "recall@10"))
            lines.append(f"- {direction.replace('_', ' ')}: {figures}")
    text, added = model.config.text, model.assets.added
    by_vectors = f", and {added:,} others by their word vectors alone" if added else ""
    lines += [
        "",
        f"Limits: it knows {len(model.assets.trained_words):,} words, those of training texts, in their language"
        f"{by_vectors}; all others share {text.oov_buckets} embeddings, and texts are cut after {text.max_words} "
        "words. What its pictures did not show it cannot find. Scores rank; they are no probabilities. It learned "
        "whatever bias its data have: do not use it to judge people.",
    ]
    if untaught := untaught_words(model.config):
        lines += ["", untaught]
    if terms:
        lines += ["", f"Terms: {terms}"]
    lines += ["", "```python", "from dafsn_tf import DAFSN", "", f'model = DAFSN.from_preset("{name}")', "```", ""]
    return "\n".join(lines)
