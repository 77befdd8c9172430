"""The cache of a frozen backbone's features: computed once a collection, read by every run.

`DATA/features/<backbone>-<layers>-grid<side>/<split>.json` says what the arrays beside it were made from; arrays that
were made from anything else (other weights, another collection) are refused by name.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dafsn_tf.config import ImageConfig
from dafsn_tf.data.locking import locked
from dafsn_tf.data.records import RecordSplit
from dafsn_tf.errors import DataError
from dafsn_tf.files import in_the_way, write_json
from dafsn_tf.progress import Progress

FORMAT = 1
BLOCK = 32  # images computed, stored and accounted for at once


@dataclass(frozen=True)
class FrozenFeatures:
    """Backbone features of a split, memory-mapped.

    Attributes:
        regions: (B, V, R, C) float16, V variants of an image. The first is what evaluation sees: the image, or its
            average with its mirror image (`image.flip_averaging`). Training images that are seen mirrored too have
            further ones: the image where the first is an average, and its mirror image.
        whole: (B, V, C') float16.
    """

    regions: np.ndarray
    whole: np.ndarray

    def __len__(self) -> int:
        return len(self.regions)

    @property
    def variants(self) -> int:
        return self.regions.shape[1]

    def read(self, indices: np.ndarray, variants: np.ndarray | int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return regions (n, R, C) and global vectors (n, C') of the images at `indices` (n,)."""
        return self.regions[indices, variants], self.whole[indices, variants]

    def at(self, indices: np.ndarray) -> "FrozenFeatures":
        """Return the features of the images at `indices` (n,), in memory."""
        return FrozenFeatures(self.regions[indices], self.whole[indices])

    def batches(self, size: int = 256) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield regions and global vectors of all images, the first variant, in order."""
        for start in range(0, len(self), size):
            yield self.regions[start : start + size, 0], self.whole[start : start + size, 0]


def cached_features(
    data: Path, records: RecordSplit, config: ImageConfig, backbone: Any, progress: Progress | None = None
) -> FrozenFeatures:
    """Return the features of a split, computing what the cache lacks; an interrupted computation goes on.

    One process computes, others that want the same features wait for it.

    Args:
        data: the prepared collection.
        records: its split.
        config: layers, grid, image size and augmentation.
        backbone: `layers.backbones.Backbone` with its weights.
        progress: called with images done and images in all.

    Raises:
        DataError: a cache that was made from something else, named with what differs; an image that cannot be decoded.
    """
    mirrored = config.augmentation == "flip" and records.split == "train"
    variants = 1 + mirrored + (mirrored and config.flip_averaging)
    fields = _provenance(records, config, backbone, variants)
    folder = data / "features" / _folder_name(config)
    state_file = folder / f"{records.split}.json"
    shapes = {
        "regions": (len(records), variants, backbone.grid**2, backbone.region_channels),
        "global": (len(records), variants, backbone.global_channels),
    }

    def open_arrays(done: int) -> dict[str, np.ndarray]:
        return {
            name: _open_array(folder / f"{records.split}-{name}.npy", shape, done) for name, shape in shapes.items()
        }

    if _images_done(state_file, fields) < len(records):
        _make(folder)
        with _only_computation(folder / f"{records.split}.lock"):
            done = _images_done(state_file, fields)  # another process may have gone on while this one waited
            arrays = open_arrays(done)
            for start, features in _compute(records, config, backbone, mirrored, done):
                stop = start + len(features["regions"])
                for name, array in arrays.items():
                    array[start:stop] = features[name]
                    array.flush()
                write_json(state_file, {**fields, "images_done": stop})
                if progress:
                    progress(stop, len(records))
    arrays = open_arrays(len(records))
    return FrozenFeatures(arrays["regions"], arrays["global"])


def _make(folder: Path) -> None:
    """Make the folder of a cache.

    Raises:
        DataError: it cannot be written to.
    """
    obstacle = in_the_way(folder)
    try:
        if not obstacle:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # a full disk, say
        obstacle = f"it cannot be made ({error.strerror})"
    if obstacle:
        raise DataError(
            f"Features of the frozen backbone are kept with their collection, in {folder}, but {obstacle}. Make the "
            "collection writable, or copy it to where it is."
        )


def _folder_name(config: ImageConfig) -> str:
    name = f"{config.backbone}-{config.region_layer}-{config.global_layer}-grid{config.region_grid}-{config.image_size}"
    name += "-flip" if config.augmentation == "flip" else ""
    return name + ("-averaged" if config.flip_averaging else "")


def _provenance(records: RecordSplit, config: ImageConfig, backbone: Any, variants: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "collection": records.manifest.digest,
        "weights": backbone.fingerprint(),
        "region_layer": config.region_layer,
        "global_layer": config.global_layer,
        "region_grid": config.region_grid,
        "image_size": config.image_size,
        "augmentation": config.augmentation,
        **({"flip_averaging": True} if config.flip_averaging else {}),
        "variants": variants,
        "images": len(records),
    }


@contextmanager
def _only_computation(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process; two at once would empty and fill the same files."""
    with path.open("w") as file:
        if not locked(file.fileno(), path):
            logging.getLogger(__name__).warning("Another process computes %s; waiting for it.", path.with_suffix(""))
            locked(file.fileno(), path, wait=True)
        yield


def _images_done(state_file: Path, fields: dict[str, Any]) -> int:
    if not state_file.exists():
        return 0
    stored = json.loads(state_file.read_text(encoding="utf-8"))
    differing = [name for name, value in fields.items() if stored.get(name) != value]
    if differing:
        found = ", ".join(f"{name} {_short(stored.get(name))}, now {_short(fields[name])}" for name in differing)
        raise DataError(
            f"The feature cache {state_file.parent} is stale: made with {found}. Delete that folder to compute it "
            "anew, or name the weights it was made with: --weights FILE (evaluate, export) or --set "
            "image.weights=FILE (train)."
        )
    return stored["images_done"]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 16 else text[:12] + "..."


def _open_array(path: Path, shape: tuple[int, ...], done: int) -> np.ndarray:
    if done:
        try:
            array = np.load(path, mmap_mode="r" if done == shape[0] else "r+")
        except (OSError, ValueError) as error:
            raise DataError(f"The feature cache's {path} cannot be read ({error}). Delete its folder.") from error
        if array.shape != shape:
            raise DataError(f"{path} has the shape {array.shape}, expected {shape}. Delete its folder.")
        return array
    return np.lib.format.open_memmap(path, mode="w+", dtype="float16", shape=shape)


def _compute(
    records: RecordSplit, config: ImageConfig, backbone: Any, mirrored: bool, done: int
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Yield the number of the first image of each block and its features, of all variants (n, V, ...)."""
    import tensorflow as tf

    from dafsn_tf.data.decoding import image_batches

    @tf.function(reduce_retracing=True)
    def variants(images: Any) -> list[Any]:
        plain = backbone.encode(images)
        if not (mirrored or config.flip_averaging):
            return [plain]
        mirror = backbone.encode(images[:, :, ::-1])
        average = [backbone.average(plain, mirror)] if config.flip_averaging else []
        return average + ([plain, mirror] if mirrored else [])

    start = done
    for images in image_batches(records, np.arange(done, len(records)), config.image_size, BLOCK):
        parts = variants(images)
        features = {name: np.stack([part[name].numpy() for part in parts], axis=1) for name in ("regions", "global")}
        yield start, features
        start += len(images)
