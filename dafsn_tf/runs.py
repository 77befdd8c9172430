"""Run folders: what training leaves, and how everything after it reads it.

RUN/
  config.toml       the resolved configuration
  run.json          data, seed, classes, backbone, environment, and the result when finished
  vocabulary.txt    one word a line, of the training split, after those of heads that training began with
  added_words.txt   one word a line, others that the model knows by their vectors, if any; their ids follow
  metrics.csv       one row an epoch; `tensorboard/` has the same
  state.json        which epochs were the latest and the best so far
  epoch-N.keras     those two, with both optimizers, until training has ended
  best.keras        the epoch that validation chose, completed by what is fitted then
  fusion.json       how the word and the sentence score are mixed, chosen on all texts of validation images
"""

import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dafsn_tf.config import Config, ImageConfig, stored_config
from dafsn_tf.errors import RunError
from dafsn_tf.files import in_the_way
from dafsn_tf.pretrained import HEADS, read_added_words, shipped_models
from dafsn_tf.progress import Progress, Write, progress_lines

if TYPE_CHECKING:  # TensorFlow is imported where it is needed, so that a mistyped folder is told at once
    from dafsn_tf.data.features import FrozenFeatures
    from dafsn_tf.data.manifest import Manifest
    from dafsn_tf.data.records import RecordSplit

VOCABULARY = "vocabulary.txt"


@dataclass(frozen=True)
class Run:
    """A finished run, ready to encode.

    Attributes:
        path: the run folder.
        config: resolved configuration.
        model: `DAFSN` at the chosen epoch. With a frozen backbone it holds the heads alone; see `complete_model`.
        text_preprocessor: `TextPreprocessor` over the run's vocabulary.
        classes: names of the label classifier's classes.
        fusion: `evaluation.fusion.Fusion` as a dictionary.
        info: contents of run.json.
    """

    path: Path
    config: Config
    model: Any
    text_preprocessor: Any
    classes: tuple[str, ...]
    fusion: dict[str, float]
    info: dict[str, Any]


def load_run(path: str | Path, weights: str | Path | None = None) -> Run:
    """Return the run in a folder, or the model of a preset as if it were one.

    Args:
        path: the folder; or a folder that `DAFSN.save_to_preset` wrote, or the name of a model that the package ships.
        weights: file of the frozen backbone's weights, where the one that the configuration names is not at hand.

    Raises:
        RunError: no run there, or one that has not finished its first epoch.
    """
    path = find_run(path)
    from dafsn_tf.models.presets import Assets, load_heads
    from dafsn_tf.preprocessing.text import TextPreprocessor

    info = read_run_info(path)
    config = stored_config(path / "config.toml")
    if weights is not None:
        config = replace(config, image=replace(config.image, weights=str(weights)))
    added, fusion = read_added_words(path), json.loads((path / "fusion.json").read_text(encoding="utf-8"))
    vocabulary = [*read_vocabulary(path), *added]
    if (path / HEADS).is_file():
        model = load_heads(path)
    else:
        model = load_model(path / "best.keras", compile=False)
        kept = {name: value for name, value in info.items() if name not in ("data", "command", "environment")}
        model.assets = Assets(tuple(vocabulary), fusion, {**kept, "data": info["dataset"]}, len(added))
    return Run(
        path=path,
        config=config,
        model=model,
        text_preprocessor=TextPreprocessor(vocabulary, config.text.max_words, config.text.oov_buckets),
        classes=tuple(info["classes"]),
        fusion=fusion,
        info=info,
    )


def load_model(file: Path, compile: bool = True) -> Any:
    """Return a saved model, as `keras.models.load_model` does, in a process that has imported none of its classes."""
    import keras

    from dafsn_tf.models import DAFSN

    return keras.models.load_model(file, custom_objects={DAFSN.__name__: DAFSN}, compile=compile)


def find_run(path: str | Path) -> Path:
    """Return the folder of a run, or of a model that was passed on, once it is known to hold one; nothing is loaded.

    Args:
        path: as `load_run` takes it.

    Raises:
        RunError: no run there, or one that has not finished its first epoch.
    """
    is_folder = (Path(path) / "run.json").is_file()  # of that name, say, may be a collection
    path = Path(path) if is_folder else shipped_models().get(str(path), Path(path))
    info = read_run_info(path)
    is_run = (path / "best.keras").is_file() and (path / "fusion.json").is_file()
    if not is_run and not (path / HEADS).is_file():
        if "environment" not in info:  # that of training, which a model that was passed on does not name
            raise RunError(f"{path} is a model without its weights, {HEADS}: fetch the whole folder again.")
        raise RunError(
            f"{path} holds an unfinished run. Go on with: {resuming(path, info['data'])} --seed {info['seed']}"
        )
    return path


def resuming(run: Path, data: str | Path) -> str:
    """Return the command that goes on with an unfinished run, but for its seed, as a shell reads it."""
    config = run / "config.toml"
    return shlex.join(["dafsn", "train", "--config", str(config), "--data", str(data), "--run", str(run), "--resume"])


def prepared_otherwise(known: dict[str, Any], manifest: "Manifest") -> bool:
    """Return whether a model was trained on another preparation of a collection, whose splits may overlap with it.

    Args:
        known: `dataset` and `collection` of what it was trained on.
        manifest: of the collection.
    """
    return known["dataset"] == manifest.name and known["collection"] != manifest.digest


def overlap_warning(info: dict[str, Any], manifest: "Manifest") -> str:
    """Return what to say of figures on a collection whose pictures a model may know from training; often nothing.

    Args:
        info: of the run, see `read_run_info`.
        manifest: of the collection that it is measured on.
    """
    if not any(prepared_otherwise(one, manifest) for one in (info, *info.get("derived_from", []))):
        return ""
    return (
        f"it was trained on another preparation of {manifest.name}: pictures that are measured here may be among those "
        "it was trained on, and figures too good"
    )


def read_run_info(path: str | Path) -> dict[str, Any]:
    """Return the contents of a run's run.json.

    Raises:
        RunError: the folder is no run.
    """
    path = Path(path)
    if not (path / "run.json").is_file():
        found = "no such folder" if not path.exists() else "no run.json in it"
        raise RunError(f"{path} is not a run folder ({found}). Make one with: dafsn train --data DATA --run {path}")
    return json.loads((path / "run.json").read_text(encoding="utf-8"))


def read_vocabulary(path: Path) -> list[str]:
    """Return the words of a run's vocabulary.

    Raises:
        RunError: there is none.
    """
    stored = path / VOCABULARY
    text = stored.read_text(encoding="utf-8") if stored.is_file() else ""
    if not text:
        raise RunError(f"{path} has no {VOCABULARY} or an empty one: train anew in another folder.")
    return text.split("\n")


def checkpoint(path: Path, epoch: int) -> Path:
    """Return the file of an epoch, counted from 1, of the run in a folder."""
    return path / f"epoch-{epoch}.keras"


def check_makeable(folder: Path, what: str) -> None:
    """Refuse a folder that cannot be made or written to, before any work is done for it.

    Raises:
        RunError: names the folder as `what`, and what is in the way.
    """
    if obstacle := in_the_way(folder):
        raise RunError(f"The {what} {folder} cannot be made: {obstacle}. Choose another folder.")


def load_backbone(config: ImageConfig) -> Any:
    """Return the image encoder's backbone with its pre-trained weights.

    Raises:
        WeightsError: the weights cannot be had.
    """
    from dafsn_tf.layers.backbones import Backbone

    backbone = Backbone(
        config.backbone,
        config.image_size,
        config.region_layer,
        config.global_layer,
        config.region_grid,
        config.flip_averaging,
    )
    backbone.load_pretrained(config.weights)
    return backbone


def features_progress(split: str, write: Write) -> Progress:
    """Return the progress function of the features of a split."""
    return progress_lines(f"features of {split}", "images", write)


def split_features(
    run: Run, data: str | Path, records: "RecordSplit", write: Write | None = None
) -> "FrozenFeatures | None":
    """Return a split's features of the run's frozen backbone, or None where the backbone is trained.

    Args:
        run: whose backbone.
        data: the prepared collection.
        records: the split's.
        write: receives progress where the cache lacks features.

    Raises:
        WeightsError: the weights at hand are not those of training, or cannot be had.
        DataError: a stale cache.
    """
    if run.model.image_encoder.backbone is not None:
        return None
    from dafsn_tf.data.features import cached_features
    from dafsn_tf.models.presets import check_fingerprint

    backbone = load_backbone(run.config.image)
    check_fingerprint(backbone, run.info["backbone_fingerprint"])
    progress = features_progress(records.split, write) if write else None
    return cached_features(Path(data), records, run.config.image, backbone, progress)


def complete_model(run: Run) -> Any:
    """Return the run's model with its backbone, so that it reads pixels.

    Raises:
        WeightsError: the backbone's weights cannot be had, or are not those of training.
    """
    from dafsn_tf.models.presets import with_backbone

    return with_backbone(run.model, run.config.image.weights)
