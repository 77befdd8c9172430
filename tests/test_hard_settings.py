"""Collections made harder, of which RESULTS.md tells whether a part of the model pays there."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hard_settings
from dafsn_tf.data.records import open_split
from dafsn_tf.errors import DataError


def _lines(folder: Path) -> dict[str, list[dict]]:
    by_split: dict[str, list[dict]] = {}
    for line in (folder / "captions.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        by_split.setdefault(entry["split"], []).append(entry)
    return by_split


def test_few_keeps_a_share_of_each_class_and_no_other_split_loses_a_picture(shapes_data: Path, tmp_path: Path) -> None:
    hard_settings.write(shapes_data, tmp_path / "few", "few", 0.5, seed=0)
    made = _lines(tmp_path / "few")
    labels = open_split(shapes_data, "train").labels
    classes = open_split(shapes_data, "train").manifest.classes
    kept = {name: sum(entry["label"] == [name] for entry in made["train"]) for name in classes}
    assert kept == {name: max(1, round(count / 2)) for name, count in zip(classes, labels.sum(axis=0), strict=True)}
    for split in ("validation", "test"):
        assert [entry["texts"] for entry in made[split]] == [
            list(texts) for texts in open_split(shapes_data, split).texts
        ]


@pytest.mark.parametrize(("setting", "field"), [("wrong_labels", "label"), ("wrong_texts", "texts")])
def test_that_share_of_the_training_pictures_is_wrong(
    shapes_data: Path, tmp_path: Path, setting: str, field: str
) -> None:
    hard_settings.write(shapes_data, tmp_path / setting, setting, 0.25, seed=0)
    train = open_split(shapes_data, "train")
    right = [
        {"texts": list(texts), "label": [train.manifest.classes[one] for one in np.flatnonzero(labels)]}
        for texts, labels in zip(train.texts, train.labels, strict=True)
    ]
    made = _lines(tmp_path / setting)["train"]
    other = "texts" if field == "label" else "label"
    assert [entry[other] for entry in made] == [entry[other] for entry in right]
    wrong = sum(entry[field] != true[field] for entry, true in zip(made, right, strict=True))
    assert wrong == round(0.25 * len(train))


def test_no_label_is_wrong_where_there_is_no_class(jsonl_source: Callable[..., Path], tmp_path: Path) -> None:
    from dafsn_tf.data.prepare import prepare

    lines = [
        {"image": f"{n}.jpg", "texts": ["a cat"], "split": split}
        for n, split in enumerate(("train", "validation", "test"))
    ]
    prepare("jsonl", jsonl_source(lines), tmp_path / "data")
    with pytest.raises(DataError, match="fewer than two classes"):
        hard_settings.write(tmp_path / "data", tmp_path / "out", "wrong_labels", 0.5, seed=0)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "nan"])
def test_a_share_is_above_0_and_at_most_1(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="above 0"):
        hard_settings.share_of(text)
