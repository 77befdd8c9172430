import json
import struct
import time
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dafsn_tf.data import prepare as module
from dafsn_tf.data.items import Item, Mention
from dafsn_tf.data.prepare import prepare, read_problems
from dafsn_tf.data.records import Manifest, open_split
from dafsn_tf.errors import DataError


def line(number, **fields):
    return {"image": f"{number:02d}.png", "texts": [f"Picture {number}."], **fields}


def found(data):
    return [(problem.kind, problem.path.rpartition("/")[2]) for problem in read_problems(data)]


def test_the_whole_way(jsonl_source, tmp_path):
    source = jsonl_source([line(number, label="odd" if number % 2 else "even") for number in range(20)])
    progress = []
    manifest = prepare("jsonl", source, tmp_path / "out", seed=4, progress=lambda *args: progress.append(args))
    assert (manifest.name, manifest.source, manifest.seed, manifest.documents) == ("animals", "jsonl", 4, False)
    assert manifest.classes == ("even", "odd")
    assert [info.num_images for info in manifest.splits.values()] == [16, 2, 2]
    assert manifest.problems == {}
    assert progress == [(done, 20) for done in range(1, 21)]
    assert Manifest.read(tmp_path / "out") == manifest
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "manifest.json",
        "problems.jsonl",
        "test-00000-of-00001.tfrecord",
        "train-00000-of-00001.tfrecord",
        "validation-00000-of-00001.tfrecord",
    ]
    splits = [open_split(tmp_path / "out", split) for split in ("train", "validation", "test")]
    assert sorted(identity for split in splits for identity in split.ids) == [
        f"{number:02d}.png" for number in range(20)
    ]
    for split in splits:
        for identity, texts, labels, image in zip(
            split.ids, split.texts, split.labels, split.read_images(range(len(split))), strict=True
        ):
            number = int(identity[:2])
            assert texts == (f"Picture {number}.",)
            assert labels.tolist() == [1 - number % 2, number % 2]
            assert image == (source / identity).read_bytes()


def test_equal_input_gives_equal_digests(jsonl_source, tmp_path):
    source = jsonl_source([line(number) for number in range(10)])
    first, again, other = (prepare("jsonl", source, tmp_path / f"out{n}", seed=s) for n, s in enumerate((0, 0, 1)))
    assert first.digest == again.digest
    assert first.digest != other.digest


def test_bad_input_is_counted_and_named(jsonl_source, tmp_path, picture):
    bad = ["truncated.jpg", "text.jpg", "zero.jpg", "huge.png"]
    source = jsonl_source(
        [
            line(0, label="cat"),
            line(1),
            line(2, texts=["  Two \n lines ", "", " "]),
            line(3, texts=[" ", "!!!"]),
            *(json.dumps({"image": name, "texts": ["Broken."]}) for name in bad),
            "this is not JSON",
            '{"image": "../outside.png", "texts": ["Escapes."]}',
            '{"image": "01.png", "texts": ["Again."]}',
            '{"image": "02.png", "texts": ["\\ud800"], "id": "surrogate"}',
            '{"image": "02.png", "texts": ["A"], "id": "\\ud800"}',
        ]
    )
    picture().save(source / "truncated.jpg")
    encoded = (source / "truncated.jpg").read_bytes()
    (source / "truncated.jpg").write_bytes(encoded[: len(encoded) // 2])
    (source / "text.jpg").write_text("This is a text.")
    (source / "zero.jpg").write_bytes(b"")
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    (source / "huge.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + b"\0\0\0\0IDAT"
    )

    manifest = prepare("jsonl", source, tmp_path / "out")
    assert manifest.problems == {
        "bad_line": 1,
        "bad_name": 1,
        "bad_text": 1,
        "empty_text": 4,
        "missing_text": 2,
        "outside_source": 1,
        "repeated_id": 1,
        "too_many_pixels": 1,
        "undecodable_image": 3,
    }
    assert [path for kind, path in found(tmp_path / "out") if kind in ("undecodable_image", "too_many_pixels")] == bad
    assert ("bad_line", "items.jsonl:9") in found(tmp_path / "out")
    assert ("empty_text", "03.png") in found(tmp_path / "out")
    details = [problem.detail for problem in read_problems(tmp_path / "out")]
    (large,) = [problem.detail for problem in read_problems(tmp_path / "out") if problem.kind == "too_many_pixels"]
    assert large.endswith(": reduce it, or raise --max-pixels")
    assert f"text 1 of 2 in {source}/items.jsonl:4 is empty" in details
    assert f"no text is left in {source}/items.jsonl:4; the picture is not used" in details
    (repeated,) = (problem for problem in read_problems(tmp_path / "out") if problem.kind == "repeated_id")
    assert repeated.path == f"{source}/items.jsonl:11"
    assert repeated.detail == f"the id '01.png' is taken by {source}/items.jsonl:2; join their texts"
    assert [sum(info.num_images for info in manifest.splits.values())] == [3]
    assert [sum(info.num_unlabelled for info in manifest.splits.values())] == [2]
    texts = {
        identity: texts
        for split in ("train", "validation", "test")
        for opened in [open_split(tmp_path / "out", split)]
        for identity, texts in zip(opened.ids, opened.texts, strict=True)
    }
    assert texts["02.png"] == ("Two lines",)

    with pytest.raises(DataError) as error:
        prepare("jsonl", source, tmp_path / "strict", strict=True)
    message = str(error.value).splitlines()
    assert message[0] == f"{source} has 15 problems, and --strict allows none:"
    assert len(message) == 12
    assert message[-1] == "  and 5 more"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["animals", "out"]


def test_pictures_that_stand_in_two_splits_are_reported_and_kept(jsonl_source, tmp_path):
    splits = ["test", "train", "train", "validation", "test"]
    source = jsonl_source([line(number, split=split) for number, split in enumerate(splits)])
    for copy in ("01.png", "03.png", "04.png"):  # of 02.png, in train twice
        (source / copy).write_bytes((source / "02.png").read_bytes())
    manifest = prepare("jsonl", source, tmp_path / "out")
    assert [info.num_images for info in manifest.splits.values()] == [2, 1, 2]
    assert manifest.problems == {"copy_in_two_splits": 2}
    assert [(problem.path, problem.detail) for problem in read_problems(tmp_path / "out")] == [
        (f"{source}/03.png", f"in validation, the same file as {source}/01.png in train"),
        (f"{source}/04.png", f"in test, the same file as {source}/01.png in train"),
    ]
    with pytest.raises(DataError, match="has 2 problems, and --strict allows none"):
        prepare("jsonl", source, tmp_path / "strict", strict=True)


def test_labels_missing_in_half_of_the_lines(jsonl_source, tmp_path):
    source = jsonl_source([line(number, **({"label": "cat"} if number % 2 else {})) for number in range(20)])
    manifest = prepare("jsonl", source, tmp_path / "out", strict=True)
    assert manifest.classes == ("cat",)
    assert {split: info.num_unlabelled for split, info in manifest.splits.items()} == {
        "train": 8,
        "validation": 1,
        "test": 1,
    }
    train = open_split(tmp_path / "out", "train")
    assert train.labels.sum() == 8
    assert all(label == [int(name[:2]) % 2] for name, label in zip(train.ids, train.labels.tolist(), strict=True))


def test_split_lists_of_the_source(jsonl_source, tmp_path):
    source = jsonl_source([line(number, split="train") for number in range(4)])
    lists = {"train": ["02.png", "lost"], "validation": ["00.png"], "test": ["03.png"]}
    (source / "splits.json").write_text(json.dumps(lists))
    manifest = prepare("jsonl", source / "items.jsonl", tmp_path / "out")
    assert [open_split(tmp_path / "out", split).ids for split in lists] == [["02.png"], ["00.png"], ["03.png"]]
    assert manifest.name == "items"
    assert manifest.problems == {"missing_item": 1}
    assert manifest.skipped == {"item not in splits.json": 1}


def test_splits_are_redrawn_by_seed_from_the_items_that_the_source_names(jsonl_source, tmp_path):
    source = jsonl_source([line(number) for number in range(30)])
    lists = {"train": [f"{n:02}.png" for n in range(26)], "validation": ["26.png", "27.png"], "test": ["28.png"]}
    (source / "splits.json").write_text(json.dumps(lists))
    draws = []
    for seed in (1, 2):
        manifest = prepare("jsonl", source / "items.jsonl", tmp_path / f"{seed}", seed=seed, redraw_splits=True)
        assert [info.num_images for info in manifest.splits.values()] == [23, 3, 3]
        assert manifest.split_origin == f"drawn by seed {seed}: 80/10/10"
        draws.append({split: frozenset(open_split(tmp_path / f"{seed}", split).ids) for split in lists})
        assert frozenset.union(*draws[-1].values()) == {identity for ids in lists.values() for identity in ids}
    assert draws[0]["test"] != draws[1]["test"]


def test_splits_are_drawn_from_what_can_be_used(jsonl_source, tmp_path):
    source = jsonl_source([line(number) for number in range(3)] + ['{"image": "text.png", "texts": ["A"]}'] * 9)
    (source / "text.png").write_text("no picture")
    manifest = prepare("jsonl", source, tmp_path / "out")
    assert [info.num_images for info in manifest.splits.values()] == [1, 1, 1]
    assert manifest.split_origin == "drawn by seed 0: 80/10/10"


def test_generated_items_keep_their_bytes_texts_boxes_and_mentions(tmp_path, monkeypatch, picture):
    picture().save(tmp_path / "scene.png")
    image = (tmp_path / "scene.png").read_bytes()
    scenes = [
        Item(f"s{n}", image, ("a  red star ",), ("star",), split, ((0, 0, 0.5, 1),), (Mention(0, 7, 11, 0),))
        for n, split in enumerate(("train", "validation", "test"))
    ]
    layout = module.find_layout("shapes")
    monkeypatch.setattr(type(layout), "read", lambda self, source, problems, seed: iter(scenes))
    manifest = prepare("shapes", None, tmp_path / "out", documents=True)
    assert (manifest.name, manifest.documents) == ("shapes", True)
    train = open_split(tmp_path / "out", "train")
    assert train.texts == [("a  red star ",)]
    assert train.mentions == [(Mention(0, 7, 11, 0),)]
    assert train.boxes[0].tolist() == [[0, 0, 0.5, 1]]
    assert train.read_images([0]) == [image]


def test_shards_are_bounded(jsonl_source, tmp_path, monkeypatch):
    source = jsonl_source([line(number, split="train") for number in range(7)])
    monkeypatch.setattr(module, "_SHARD_EXAMPLES", 3)
    manifest = prepare("jsonl", source, tmp_path / "by_count")
    assert [shard.num_examples for shard in manifest.splits["train"].shards] == [3, 2]
    assert [shard.file for shard in manifest.splits["train"].shards] == [
        "train-00000-of-00002.tfrecord",
        "train-00001-of-00002.tfrecord",
    ]
    monkeypatch.setattr(module, "_SHARD_BYTES", (source / "00.png").stat().st_size + 10)
    manifest = prepare("jsonl", source, tmp_path / "by_bytes")
    assert [shard.num_examples for shard in manifest.splits["train"].shards] == [1] * 5
    assert len(open_split(tmp_path / "by_bytes", "train")) == 5


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no picture with a text that can be used"),
        (["{"], r"can be used \(found 1 bad_line; the first: .*items.jsonl:1: not JSON"),
        ([line(0, split="test"), line(1, split="validation")], "is in the split 'train'"),
    ],
)
def test_nothing_to_train_on(jsonl_source, tmp_path, lines, message):
    source = jsonl_source(lines)
    with pytest.raises(DataError, match=message):
        prepare("jsonl", source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["animals"]


def test_an_interrupt_leaves_nothing(jsonl_source, tmp_path):
    def interrupt(done, total):
        if done == 3:
            raise KeyboardInterrupt

    source = jsonl_source([line(number) for number in range(30)])
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(KeyboardInterrupt):
        prepare("jsonl", source, tmp_path / "out", progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["animals"]
    assert limit == Image.MAX_IMAGE_PIXELS


def test_an_interrupt_does_not_read_ahead_first(jsonl_source, tmp_path, monkeypatch):
    begun, load = [], module._load_picture

    def slow(*arguments):
        begun.append(arguments)
        time.sleep(0.05)
        return load(*arguments)

    def interrupt(done, total):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_load_picture", slow)
    with pytest.raises(KeyboardInterrupt):
        prepare("jsonl", jsonl_source([line(n) for n in range(30)]), tmp_path / "out", progress=interrupt)
    assert len(begun) < 8


def test_sixteen_bits_that_are_nearly_black_are_told_and_kept(jsonl_source, tmp_path):
    source = jsonl_source([line(number) for number in range(5)])
    ramp = np.arange(24 * 16, dtype=np.uint16).reshape(16, 24)
    for number, factor in enumerate((1, 10, 100)):
        Image.fromarray(ramp * factor).save(source / f"{number:02d}.png")
    manifest = prepare("jsonl", source, tmp_path / "out")
    assert found(tmp_path / "out") == [("dark_16_bits", "00.png"), ("dark_16_bits", "01.png")]
    assert sum(info.num_images for info in manifest.splits.values()) == 5


@pytest.mark.parametrize("option", ["image_side", "max_pixels"])
def test_options_out_of_range(tmp_path, option):
    with pytest.raises(DataError, match=f"--{option.replace('_', '-')} is 0; it must be at least 1"):
        prepare("jsonl", tmp_path, tmp_path / "out", **{option: 0})


@pytest.mark.data
def test_a_few_real_items(shared_data, tmp_path):
    source = shared_data / "pascal_sentence"
    small = tmp_path / "small"
    for name in ("cat", "dog"):
        (small / "dataset" / name).mkdir(parents=True)
        (small / "sentence" / name).mkdir(parents=True)
        for path in sorted((source / "dataset" / name).iterdir())[:5]:
            (small / "dataset" / name / path.name).write_bytes(path.read_bytes())
            text = source / "sentence" / name / f"{path.stem}.txt"
            (small / "sentence" / name / text.name).write_bytes(text.read_bytes())
    manifest = prepare("pascal-sentence", small, tmp_path / "out", strict=True)
    assert manifest.documents
    assert [info.num_images for info in manifest.splits.values()] == [8, 1, 1]
    train = open_split(tmp_path / "out", "train")
    assert {len(texts) for texts in train.texts} == {5}
    with Image.open(small / "dataset" / ("cat" if train.labels[0, 0] else "dog") / f"{train.ids[0]}.jpg") as image:
        expected = np.asarray(image)
    decoded = tf.io.decode_jpeg(train.read_images([0])[0], dct_method="INTEGER_ACCURATE").numpy()
    np.testing.assert_array_equal(decoded, expected)
