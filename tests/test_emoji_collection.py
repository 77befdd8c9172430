"""Emoji with their names, which stand for a collection of another kind."""

import json

import pytest

import emoji_collection
from dafsn_tf.errors import DataError

ENTRIES = [
    {"hexcode": "1F600", "label": "grinning face", "tags": ["face", "grin"], "group": 0},
    {"hexcode": "1F1E6", "label": "regional indicator A"},  # of no group
    {"hexcode": "1F98A", "label": "fox", "group": 3},
    {"hexcode": "1F999", "label": "llama", "group": 3},  # without a picture
]


@pytest.fixture
def packages(tmp_path):
    pictures, names = tmp_path / "assets", tmp_path / "data.json"
    pictures.mkdir()
    for code in ("1f600", "1f98a", "1f1e6"):
        (pictures / f"{code}.webp").write_bytes(code.encode())
    names.write_text(json.dumps(ENTRIES))
    return pictures, names


def test_pictures_with_their_name_and_keywords(packages, tmp_path):
    assert emoji_collection.write(*packages, tmp_path / "own") == 2
    lines = [json.loads(line) for line in (tmp_path / "own" / "emoji.jsonl").read_text().splitlines()]
    assert lines == [
        {"image": "1f600.webp", "texts": ["grinning face", "face, grin"]},
        {"image": "1f98a.webp", "texts": ["fox"]},
    ]
    assert (tmp_path / "own" / "1f98a.webp").read_bytes() == b"1f98a"


def test_what_is_not_there_is_named_and_nothing_is_left(packages, tmp_path):
    pictures, names = packages
    with pytest.raises(DataError, match=r"There is no .*absent\. Unpack both"):
        emoji_collection.write(tmp_path / "absent", names, tmp_path / "own")
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(DataError, match=r"other\.json is no list of emoji"):
        emoji_collection.write(pictures, tmp_path / "other.json", tmp_path / "own")
    (tmp_path / "none.json").write_text("[]")
    with pytest.raises(DataError, match="no picture of any of the 0 emoji"):
        emoji_collection.write(pictures, tmp_path / "none.json", tmp_path / "own")
    assert not (tmp_path / "own").exists()
