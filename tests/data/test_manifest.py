import json

import pytest

from dafsn_tf.data.manifest import Manifest, Shard, SplitInfo
from dafsn_tf.errors import DataError


def manifest(sha256="ab"):
    splits = {
        "train": SplitInfo(3, 6, 1, (Shard("train-00000-of-00001.tfrecord", 3, 99, sha256),)),
        "validation": SplitInfo(),
        "test": SplitInfo(),
    }
    return Manifest("animals", "jsonl", 7, True, ("cat", "köpek"), splits, "drawn", {"empty_text": 2}, {"odd": 1})


def test_write_and_read(tmp_path):
    manifest().write(tmp_path)
    assert Manifest.read(tmp_path) == manifest()
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    values = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert (values["format"], values["format_version"], values["version"]) == ("dafsn-records", 1, manifest().version)


def test_the_digest_follows_the_checksums():
    assert manifest().digest == manifest().digest
    assert manifest("ab").digest != manifest("cd").digest
    assert len(manifest().digest) == 64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"holds no manifest.json: it is no folder that `dafsn prepare` wrote"),
        ("{", r"manifest.json is not JSON"),
        ("[]", r"is no manifest of `dafsn prepare`"),
        ('{"name": "x"}', r"is no manifest of `dafsn prepare`"),
        ('{"format": "dafsn-records", "format_version": 2}', r"has format version 2; expected 1. Prepare"),
        ('{"format": "dafsn-records", "format_version": 1}', r"is incomplete or was changed \('classes'\)"),
    ],
)
def test_what_is_no_manifest(tmp_path, text, message):
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=message):
        Manifest.read(tmp_path)


def test_a_missing_folder_says_what_to_run(tmp_path):
    with pytest.raises(DataError, match=r"There is no folder .*data\. Prepare a collection first: dafsn prepare NAME"):
        Manifest.read(tmp_path / "data")
