"""The generated collections that stand for a user's own."""

from pathlib import Path

import pytest

import own_collections
from dafsn_tf.data.prepare import prepare
from dafsn_tf.data.records import open_split
from dafsn_tf.errors import DataError


@pytest.mark.parametrize("name", own_collections.SCENES)
def test_prepare_takes_the_splits_as_they_were_asked_for(name: str, tmp_path: Path) -> None:
    own_collections.write(name, tmp_path / "own", images=12, seed=3, split=(6, 2))
    prepare("jsonl", tmp_path / "own", tmp_path / "data")
    sizes = {split: len(open_split(tmp_path / "data", split)) for split in ("train", "validation", "test")}
    assert sizes == {"train": 6, "validation": 2, "test": 4}


def test_a_picture_is_its_seeds_and_numbers_alone(tmp_path: Path) -> None:
    own_collections.write("faces", tmp_path / "few", images=2, seed=1)
    own_collections.write("faces", tmp_path / "more", images=3, seed=1)
    own_collections.write("faces", tmp_path / "other", images=2, seed=2)
    pictures = {
        folder: [(tmp_path / folder / f"0000{i}.jpg").read_bytes() for i in (0, 1)]
        for folder in ("few", "more", "other")
    }
    assert pictures["few"] == pictures["more"]
    assert pictures["few"] != pictures["other"]


@pytest.mark.parametrize("split", [(8, 4), (0, 4), (12, 1)])
def test_a_split_without_pictures_is_refused_before_any_is_drawn(split: tuple[int, int], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="all three splits need some"):
        own_collections.write("faces", tmp_path / "own", images=12, seed=0, split=split)
    assert not list(tmp_path.iterdir())
