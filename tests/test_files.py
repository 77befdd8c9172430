import pytest

from dafsn_tf.files import write_json, written_aside


@pytest.mark.parametrize("keep_suffix", [False, True])
def test_a_file_appears_complete_in_the_place_of_the_one_before(tmp_path, keep_suffix):
    path = tmp_path / "table.json"
    path.write_text("before")
    with written_aside(path, keep_suffix=keep_suffix) as aside:
        aside.write_text("after")
        assert path.read_text() == "before"
        assert aside.name.startswith(".")
        assert (aside.suffix == ".json") == keep_suffix
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path):
    path = tmp_path / "table.json"
    write_json(path, [1])
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, object())
    with pytest.raises(UnicodeEncodeError), written_aside(path) as aside:
        aside.write_text("\ud800", encoding="utf-8")
    assert path.read_text() == "[\n  1\n]\n"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_behind_is_written_over(tmp_path):
    path = tmp_path / "table.json"
    (tmp_path / ".table.json.tmp").write_text("half of a table that is longer")
    write_json(path, {})
    assert path.read_text() == "{}\n"
    assert list(tmp_path.glob("*.json")) == [path]
