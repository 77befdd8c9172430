"""A piece of Flickr8k that stands for a user's own photographs."""

import json
from pathlib import Path

import pytest

import few_photographs
from dafsn_tf.errors import DataError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "flickr8k"
    (source / "Flicker8k_Dataset").mkdir(parents=True)
    names = [f"{letter}.jpg" for letter in "abcdefgh"]
    for name in names:
        (source / "Flicker8k_Dataset" / name).write_bytes(name.encode())
    captions = [f"{name}#{number}\ttext {number} of {name}" for name in names for number in range(5)]
    (source / "Flickr8k.token.txt").write_text("\n".join(captions))
    (source / "Flickr_8k.trainImages.txt").write_text("\n".join(names[:6]))
    (source / "Flickr_8k.devImages.txt").write_text(names[6])
    (source / "Flickr_8k.testImages.txt").write_text(names[7])
    return source


def test_a_piece_of_the_training_split_with_one_to_five_texts_in_turn(source: Path, tmp_path: Path) -> None:
    few_photographs.write(source, tmp_path / "own", first=1, sizes=(2, 1, 1))
    lines = [json.loads(line) for line in (tmp_path / "own" / "photographs.jsonl").read_text().splitlines()]
    assert [line["image"] for line in lines] == ["b.jpg", "c.jpg", "d.jpg", "e.jpg"]
    assert [line["split"] for line in lines] == ["train", "train", "validation", "test"]
    assert [len(line["texts"]) for line in lines] == [1, 2, 3, 4]
    assert lines[1]["texts"] == ["text 0 of c.jpg", "text 1 of c.jpg"]
    assert (tmp_path / "own" / "c.jpg").read_bytes() == b"c.jpg"


@pytest.mark.parametrize(("first", "sizes"), [(-1, (2, 1, 1)), (0, (2, 0, 1))])
def test_a_place_before_the_first_and_a_split_without_pictures_are_refused(
    first: int, sizes: tuple[int, int, int], source: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="count from 0, and all three splits need some"):
        few_photographs.write(source, tmp_path / "own", first, sizes)
    assert not (tmp_path / "own").exists()


def test_more_pictures_than_there_are_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="5 pictures from 2 on are asked for; the training split has 4"):
        few_photographs.write(source, tmp_path / "own", first=2, sizes=(3, 1, 1))
    assert not (tmp_path / "own").exists()
