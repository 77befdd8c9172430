import dataclasses
import random
import threading

import numpy as np
import pytest
import tensorflow as tf

from dafsn_tf.data.items import Item, Mention
from dafsn_tf.data.records import Manifest, SplitInfo, encode_example, open_split, write_shard
from dafsn_tf.errors import DataError

ITEMS = [
    Item(
        "a", b"", ("A red star.", "Étoile"), ("star",), boxes=((0.1, 0.2, 0.5, 0.75),), mentions=(Mention(0, 6, 10, 0),)
    ),
    Item("b", b"", ("No label.",)),
    Item("ç", b"", ("Both.",), ("ring", "star"), boxes=((0, 0, 1, 1), (0.5, 0.5, 1, 1))),
    Item("d", b"", ("A ring.",), ("ring",)),
    Item("e", b"", ("Another ring.",), ("ring",)),
]
IMAGES = [bytes([number]) * (100 + 7 * number) for number in range(len(ITEMS))]


@pytest.fixture
def data(tmp_path):
    classes = ("ring", "star")
    examples = [
        encode_example(item, image, [classes.index(label) for label in item.labels])
        for item, image in zip(ITEMS, IMAGES, strict=True)
    ]
    shards = (
        write_shard(tmp_path / "train-00000-of-00002.tfrecord", examples[:3]),
        write_shard(tmp_path / "train-00001-of-00002.tfrecord", examples[3:]),
    )
    splits = {"train": SplitInfo(5, 6, 1, shards), "validation": SplitInfo(), "test": SplitInfo()}
    Manifest("figures", "jsonl", 0, False, classes, splits).write(tmp_path)
    return tmp_path


def test_everything_but_the_pictures_is_in_memory(data):
    split = open_split(data, "train")
    assert len(split) == 5
    assert split.ids == ["a", "b", "ç", "d", "e"]
    assert split.texts == [item.texts for item in ITEMS]
    assert split.labels.dtype == np.float32
    np.testing.assert_array_equal(split.labels, [[0, 1], [0, 0], [1, 1], [1, 0], [1, 0]])
    assert [boxes.shape for boxes in split.boxes] == [(1, 4), (0, 4), (2, 4), (0, 4), (0, 4)]
    np.testing.assert_array_equal(split.boxes[0], np.float32([[0.1, 0.2, 0.5, 0.75]]))
    assert split.mentions == [(Mention(0, 6, 10, 0),), (), (), (), ()]


def test_random_access_equals_sequential_reading(data):
    split = open_split(data, "train")
    files = [str(data / shard.file) for shard in split.manifest.splits["train"].shards]
    sequential = [
        tf.train.Example.FromString(record.numpy()).features.feature["image"].bytes_list.value[0]
        for record in tf.data.TFRecordDataset(files)
    ]
    assert sequential == IMAGES
    order = [4, 0, 3, 3, 1, 2]
    assert split.read_images(order) == [sequential[index] for index in order]
    assert split.read_images(np.array([2])) == [sequential[2]]


def test_several_threads_read(data):
    split = open_split(data, "train")
    wrong = []

    def read(seed):
        for index in random.Random(seed).choices(range(5), k=200):
            if split.read_images([index]) != [IMAGES[index]]:
                wrong.append(index)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("split", "what_to_do"),
    [("test", "Prepare it again, with at least 3 pictures or with that split named"), ("dev", "Name one of them")],
)
def test_a_split_that_is_not_there(data, split, what_to_do):
    with pytest.raises(DataError, match=rf"has no split '{split}'\. It has: train\. {what_to_do}"):
        open_split(data, split)


def test_a_shard_of_another_size(data):
    path = data / "train-00001-of-00002.tfrecord"
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(DataError, match=rf"00001-of-00002.tfrecord has {size + 4} bytes, the manifest says {size}"):
        open_split(data, "train")
    path.unlink()
    with pytest.raises(DataError, match=r"train-00001-of-00002.tfrecord is missing"):
        open_split(data, "train")


@pytest.mark.parametrize("where", ["length", "image", "last byte"])
def test_a_shard_with_one_other_byte(data, where):
    path = data / "train-00000-of-00002.tfrecord"
    encoded = bytearray(path.read_bytes())
    encoded[{"length": 0, "image": encoded.index(IMAGES[2]) + 50, "last byte": -1}[where]] ^= 1
    path.write_bytes(encoded)
    with pytest.raises(
        DataError, match=r"train-00000-of-00002\.tfrecord does not have its checksum .*Prepare the coll"
    ):
        open_split(data, "train")


def test_a_manifest_that_counts_other_records(data):
    manifest = Manifest.read(data)
    shards = tuple(dataclasses.replace(shard, num_examples=4) for shard in manifest.splits["train"].shards)
    splits = {**manifest.splits, "train": dataclasses.replace(manifest.splits["train"], shards=shards)}
    dataclasses.replace(manifest, splits=splits).write(data)
    with pytest.raises(DataError, match=r"is damaged: it does not hold the 4 records"):
        open_split(data, "train")


def test_equal_items_give_equal_bytes():
    assert encode_example(ITEMS[0], b"x", [1]) == encode_example(ITEMS[0], b"x", [1])
