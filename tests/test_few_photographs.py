"""Some of Pascal Sentence's pictures, which stand for a user's own photographs."""

import json
from pathlib import Path

import pytest

import few_photographs
from dafsn_tf.errors import DataError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "pascal"
    for name in ("bird", "cat"):
        for kind in ("dataset", "sentence"):
            (source / kind / name).mkdir(parents=True)
        for number in range(4):
            (source / "dataset" / name / f"{name}{number}.jpg").write_bytes(f"{name}{number}".encode())
            texts = [f"text {text} of {name}{number}" for text in range(5)]
            (source / "sentence" / name / f"{name}{number}.txt").write_text("\n".join(texts))
    return source


def written(source: Path, out: Path, **options) -> list[dict]:
    few_photographs.write(source, out, **options)
    return [json.loads(line) for line in (out / "photographs.jsonl").read_text().splitlines()]


def pictures(folder: Path, lines: list[dict]) -> list[str]:
    return [(folder / line["image"]).read_text() for line in lines]


def test_pictures_with_one_to_five_texts_in_turn_and_no_classes(source: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    lines = written(source, own, first=0, sizes=(4, 1, 1))
    assert [line["split"] for line in lines] == ["train"] * 4 + ["validation", "test"]
    assert [len(line["texts"]) for line in lines] == [1, 2, 3, 4, 5, 1]
    for line, picture in zip(lines, pictures(own, lines), strict=True):
        assert line["texts"] == [f"text {number} of {picture}" for number in range(len(line["texts"]))]
        assert set(line) == {"image", "texts", "split"}


def test_pictures_keep_their_classes_where_asked(source: Path, tmp_path: Path) -> None:
    lines = written(source, tmp_path / "own", first=0, sizes=(6, 1, 1), classes=True)
    for line, picture in zip(lines, pictures(tmp_path / "own", lines), strict=True):
        assert line["label"] == [picture.rstrip("0123456789")]


def test_after_the_last_picture_comes_the_first(source: Path, tmp_path: Path) -> None:
    whole = written(source, tmp_path / "whole", first=0, sizes=(6, 1, 1))
    turned = written(source, tmp_path / "turned", first=5, sizes=(2, 2, 2))
    order = pictures(tmp_path / "whole", whole)
    assert sorted(order) == sorted(f"{name}{number}" for name in ("bird", "cat") for number in range(4))
    assert order != sorted(order)
    assert pictures(tmp_path / "turned", turned) == order[5:] + order[:3]


@pytest.mark.parametrize(("first", "sizes"), [(-1, (2, 1, 1)), (0, (2, 0, 1))])
def test_a_place_before_the_first_and_a_split_without_pictures_are_refused(
    first: int, sizes: tuple[int, int, int], source: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="count from 0, and all three splits need some"):
        few_photographs.write(source, tmp_path / "own", first, sizes)
    assert not (tmp_path / "own").exists()


def test_more_pictures_than_there_are_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"9 pictures are asked for; .*pascal has 8"):
        few_photographs.write(source, tmp_path / "own", first=2, sizes=(6, 1, 2))
    assert not (tmp_path / "own").exists()
