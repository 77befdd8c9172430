import subprocess
import sys

import pytest

from dafsn_tf.data.problems import Problems
from dafsn_tf.data.sources import find_layout
from dafsn_tf.errors import DataError


def test_underscores_and_dashes_name_the_same_layout():
    assert find_layout("pascal_sentence") is find_layout("pascal-sentence")
    assert find_layout("pascal-sentence").documents
    assert not find_layout("flickr8k").documents


def test_unknown_layout_offers_the_nearest():
    with pytest.raises(
        DataError, match=r"'flickr8' is no known layout. Did you mean 'flickr8k'\? Known: pascal-sentence, "
    ):
        find_layout("flickr8")


def test_source_must_be_named_and_exist(tmp_path):
    with pytest.raises(DataError, match="name it with --source"):
        find_layout("jsonl").read(None, Problems(), seed=0)
    with pytest.raises(DataError, match=r"There is no .*nowhere"):
        find_layout("jsonl").read(tmp_path / "nowhere", Problems(), seed=0)


def test_readers_do_not_load_tensorflow():
    code = "import sys, dafsn_tf.data.prepare, dafsn_tf.data.sources.jsonl; print('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
