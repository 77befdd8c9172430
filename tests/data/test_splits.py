import json
from collections import Counter
from pathlib import Path

import pytest

from dafsn_tf.data.items import Item
from dafsn_tf.data.problems import Problems
from dafsn_tf.data.sources import pascal_sentence
from dafsn_tf.data.splits import apply_split_lists, complete_splits, read_split_lists
from dafsn_tf.errors import DataError


def items(count, label="", split=None):
    labels = (label,) if label else ()
    return [Item(f"{label}{number:04d}", Path("x.png"), ("x",), labels, split) for number in range(count)]


def sizes(splits):
    return tuple(splits.count(split) for split in ("train", "validation", "test"))


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, (1, 0, 0)),
        (2, (2, 0, 0)),
        (3, (1, 1, 1)),
        (4, (2, 1, 1)),
        (5, (3, 1, 1)),
        (10, (8, 1, 1)),
        (25, (19, 3, 3)),
        (1000, (800, 100, 100)),
    ],
)
def test_drawn_sizes(count, expected):
    assert sizes(complete_splits(items(count), seed=0)[0]) == expected


def test_drawn_splits_are_stratified():
    collection = [item for label in "abcd" for item in items(50, label)]
    splits, origin = complete_splits(collection, seed=3)
    assert Counter((item.labels[0], split) for item, split in zip(collection, splits, strict=True)) == {
        (label, split): count for label in "abcd" for split, count in (("train", 40), ("validation", 5), ("test", 5))
    }
    assert origin == "drawn by seed 3: 80/10/10, stratified by class"


def test_many_small_classes_still_make_up_a_tenth():
    collection = [item for label in range(100) for item in items(3, f"class{label}")]
    assert sizes(complete_splits(collection, seed=0)[0]) == (240, 30, 30)


def test_the_seed_draws_and_the_order_does_not():
    collection = items(40, "a") + items(40)
    first = dict(zip([item.id for item in collection], complete_splits(collection, seed=0)[0], strict=True))
    turned = collection[::-1]
    assert dict(zip([item.id for item in turned], complete_splits(turned, seed=0)[0], strict=True)) == first
    assert dict(zip([item.id for item in collection], complete_splits(collection, seed=1)[0], strict=True)) != first


def test_a_missing_validation_split_is_drawn_from_train():
    collection = items(20, "a", "train") + items(7, "b", "test")
    splits, origin = complete_splits(collection, seed=5)
    assert sizes(splits) == (18, 2, 7)
    assert splits[20:] == ["test"] * 7
    assert origin == "as the source names them; validation drawn from train by seed 5"


def test_items_without_a_split_join_train_where_others_name_one():
    collection = items(3, "a") + items(2, "b", "validation") + items(2, "c", "test") + items(1, "d", "train")
    splits, origin = complete_splits(collection, seed=0)
    assert splits == ["train"] * 3 + ["validation"] * 2 + ["test"] * 2 + ["train"]
    assert origin == "as the source names them"


def test_split_lists_decide(tmp_path):
    path = tmp_path / "splits.json"
    path.write_text(json.dumps({"train": ["a0000"], "validation": ["a0002"], "test": ["a0001", "gone"]}))
    problems = Problems()
    listed = apply_split_lists(items(5, "a", "train"), path, problems)
    assert [(item.id, item.split) for item in listed] == [
        ("a0000", "train"),
        ("a0001", "test"),
        ("a0002", "validation"),
    ]
    assert dict(problems.skipped) == {"item not in splits.json": 2}
    assert [(problem.kind, problem.path, problem.detail) for problem in problems.entries] == [
        ("missing_item", str(path), "it lists 'gone' in 'test', but the source has no such item")
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: a", "is not JSON"),
        ("\ufeff[]", "must be of the form"),
        ('{"train": "a"}', "must be of the form"),
        ('{"train": ["a"], "val": ["b"]}', "names the unknown split 'val'. Known: train, validation, test."),
        ('{"train": [1]}', "lists 1 in 'train'; ids are strings"),
        ('{"train": ["a"], "test": ["a"]}', "lists 'a' in 'train' and again in 'test'"),
    ],
)
def test_bad_split_lists(tmp_path, text, message):
    path = tmp_path / "splits.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_split_lists(path)


@pytest.mark.data
def test_the_splits_of_pascal_sentence_are_drawn_again_by_their_seed(shared_data):
    collection = list(pascal_sentence.read(shared_data / "pascal_sentence", Problems()))
    drawn = dict(zip([item.id for item in collection], complete_splits(collection, seed=20100606)[0], strict=True))
    assert drawn == read_split_lists(shared_data / "pascal_sentence/splits.json")
