"""Prepared collections: record files (sharded TFRecords of `tf.train.Example`) and their random access.

An example holds `id`, `image` (encoded, of any kind that `decode_image` reads), `texts`, `labels` (indices into the
manifest's classes), `boxes` (left, top, right, bottom of each, flattened) and `mentions` (text, start, end, box of
each, flattened).
"""

import hashlib
import mmap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from dafsn_tf.data.items import SPLITS, Item, Mention
from dafsn_tf.data.manifest import Manifest, Shard, SplitInfo
from dafsn_tf.errors import DataError

__all__ = ["Manifest", "RecordSplit", "Shard", "SplitInfo", "encode_example", "open_split", "write_shard"]

_HEADER, _FOOTER = 12, 4  # bytes around a record: its length (8) and the length's checksum; the record's checksum


@dataclass(frozen=True, eq=False)
class RecordSplit:
    """One split of a prepared collection: everything but the pictures in memory, the pictures by index.

    Attributes:
        manifest: of the collection.
        split: "train", "validation" or "test".
        ids: of the B images, in the order of the files.
        texts: of each image, one or more.
        labels: (B, C) float32, 1 for each class of an image; a row of zeros has no label.
        boxes: of each image, (O, 4) float32: left, top, right, bottom in [0, 1].
        mentions: of each image, which words name which box.
    """

    manifest: Manifest
    split: str
    ids: list[str]
    texts: list[tuple[str, ...]]
    labels: np.ndarray
    boxes: list[np.ndarray]
    mentions: list[tuple[Mention, ...]]
    _shards: list[mmap.mmap]
    _places: list[tuple[int, int, int]]  # shard, first byte, byte after the last

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, indices: np.ndarray) -> "RecordSplit":
        """Return the images at `indices` (n,) as a split of their own."""
        chosen = {
            field: [getattr(self, field)[index] for index in indices]
            for field in ("ids", "texts", "boxes", "mentions", "_places")
        }
        return replace(self, labels=self.labels[indices], **chosen)

    def read_images(self, indices: Iterable[int]) -> list[bytes]:
        """Return the encoded pictures at these indices, in their order; safe to call from several threads."""
        images = []
        for index in indices:
            shard, start, end = self._places[index]
            images.append(_feature(tf.train.Example.FromString(self._shards[shard][start:end]), "image")[0])
        return images


def open_split(data: Path, split: str) -> RecordSplit:
    """Return one split of a prepared folder.

    Raises:
        DataError: no such folder or split, or a record file that is not as the manifest says.
    """
    data = Path(data)
    manifest = Manifest.read(data)
    if split not in SPLITS or not manifest.splits[split].num_images:
        there = ", ".join(name for name in SPLITS if manifest.splits[name].num_images)
        what_to_do = (
            "Prepare it again, with at least 3 pictures or with that split named in the source."
            if split in SPLITS
            else "Name one of them."
        )
        raise DataError(f"{data} has no split '{split}'. It has: {there}. {what_to_do}")
    info = manifest.splits[split]
    shards = [_map_shard(data / shard.file, shard) for shard in info.shards]
    places: list[tuple[int, int, int]] = []
    ids, texts, boxes, mentions = [], [], [], []
    labels = np.zeros((info.num_images, len(manifest.classes)), np.float32)
    for number, (shard, mapped) in enumerate(zip(info.shards, shards, strict=True)):
        try:
            for start, end in _scan(mapped, shard):
                example = tf.train.Example.FromString(mapped[start:end])
                labels[len(ids), list(_feature(example, "labels"))] = 1
                ids.append(_feature(example, "id")[0].decode())
                texts.append(tuple(text.decode() for text in _feature(example, "texts")))
                boxes.append(np.array(_feature(example, "boxes"), np.float32).reshape(-1, 4))
                mentions.append(_to_mentions(_feature(example, "mentions")))
                places.append((number, start, end))
        except (DecodeError, ValueError, IndexError, TypeError) as error:
            raise DataError(f"{data / shard.file} is damaged: {error}. Prepare the collection again.") from error
    return RecordSplit(manifest, split, ids, texts, labels, boxes, mentions, shards, places)


def encode_example(item: Item, image: bytes, class_indices: Sequence[int]) -> bytes:
    """Return an item as a serialized `tf.train.Example`, with this picture; equal items give equal bytes."""
    boxes = [edge for box in item.boxes for edge in box]
    mentions = [value for mention in item.mentions for value in _from_mention(mention)]
    features = {
        "id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[item.id.encode()])),
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
        "texts": tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode() for text in item.texts])),
        "labels": tf.train.Feature(int64_list=tf.train.Int64List(value=class_indices)),
        "boxes": tf.train.Feature(float_list=tf.train.FloatList(value=boxes)),
        "mentions": tf.train.Feature(int64_list=tf.train.Int64List(value=mentions)),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def write_shard(path: Path, examples: Iterable[bytes]) -> Shard:
    """Return the description of a record file after writing it."""
    count = 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(example)
            count += 1
    with path.open("rb") as file:
        return Shard(path.name, count, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _map_shard(path: Path, shard: Shard) -> mmap.mmap:
    """Return a record file's bytes, as the manifest knows them: its checksum covers what TFRecord's own would."""
    if not path.is_file():
        raise DataError(f"{path} is missing, but the manifest names it. Prepare the collection again.")
    size = path.stat().st_size
    if size != shard.bytes:
        raise DataError(f"{path} has {size} bytes, the manifest says {shard.bytes}. Prepare the collection again.")
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if hashlib.sha256(mapped).hexdigest() != shard.sha256:
        raise DataError(
            f"{path} does not have its checksum of the manifest: it is damaged or was changed. "
            "Prepare the collection again."
        )
    return mapped


def _scan(mapped: mmap.mmap, shard: Shard) -> Iterator[tuple[int, int]]:
    """Yield where each record starts and ends."""
    position = count = 0
    while position < len(mapped):
        start = position + _HEADER
        end = start + int.from_bytes(mapped[position : position + 8], "little")
        position = end + _FOOTER
        count += 1
        if position > len(mapped) or count > shard.num_examples:
            break
        yield start, end
    if position != len(mapped) or count != shard.num_examples:
        raise ValueError(f"it does not hold the {shard.num_examples} records of the manifest")


def _feature(example: tf.train.Example, name: str) -> Sequence:
    feature = example.features.feature[name]
    kind = feature.WhichOneof("kind")
    return getattr(feature, kind).value if kind else ()


def _from_mention(mention: Mention) -> tuple[int, int, int, int]:
    return mention.text, mention.start, mention.end, mention.box


def _to_mentions(values: Sequence[int]) -> tuple[Mention, ...]:
    return tuple(Mention(*values[start : start + 4]) for start in range(0, len(values), 4))
