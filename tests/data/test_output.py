import pytest

from dafsn_tf.data.items import SPLITS
from dafsn_tf.data.manifest import Manifest, SplitInfo
from dafsn_tf.data.output import new_folder
from dafsn_tf.errors import DataError


def prepared(folder):
    folder.mkdir()
    empty = {split: SplitInfo() for split in SPLITS}
    Manifest("old", "jsonl", 0, False, (), empty).write(folder)
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_appears_at_the_end(tmp_path):
    with new_folder(tmp_path / "a" / "out") as folder:
        (folder / "file").write_text("new")
        assert names(tmp_path / "a") == [".out.partial"]
    assert names(tmp_path / "a") == ["out"]
    assert (tmp_path / "a" / "out" / "file").read_text() == "new"


def write_half(out, error, force=False):
    with new_folder(out, force) as folder:
        (folder / "file").write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_nothing(tmp_path, error):
    with pytest.raises(error):
        write_half(tmp_path / "out", error)
    assert names(tmp_path) == []


def test_an_empty_folder_and_what_a_killed_run_left_are_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "stale").write_text("")
    with new_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("new")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["file"]


def test_a_second_run_into_one_folder_is_refused_and_the_first_goes_on(tmp_path):
    with new_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("first")
        with pytest.raises(
            DataError, match=r"Another `dafsn prepare` is writing .*out\. Wait for it, or choose another"
        ):
            write_half(tmp_path / "out", ValueError)
        with new_folder(tmp_path / "other"):
            pass
    assert names(tmp_path) == ["other", "out"]
    assert (tmp_path / "out" / "file").read_text() == "first"
    with new_folder(tmp_path / "again"):  # the lock was given back
        pass


def test_a_folder_that_was_renamed_while_its_lock_was_asked_for_is_left_alone(tmp_path, monkeypatch):
    def finished(descriptor, path):
        if not (tmp_path / "elsewhere").exists():
            (path / "file").write_text("of the other")
            path.rename(tmp_path / "elsewhere")
        return True

    monkeypatch.setattr("dafsn_tf.data.output.locked", finished)
    with new_folder(tmp_path / "out") as folder:
        assert names(folder) == []
    assert names(tmp_path / "elsewhere") == ["file"]


def test_a_file_system_without_locks_is_named_and_written_to(tmp_path, monkeypatch, caplog):
    def flock(descriptor, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", flock)
    with new_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("new")
    assert names(tmp_path / "out") == ["file"]
    assert ".out.partial cannot be locked (Operation not supported): see that no second" in caplog.text


def test_a_prepared_collection_is_replaced_by_force_only(tmp_path):
    out = prepared(tmp_path / "out")
    with pytest.raises(DataError, match="Choose another --out, or replace it with --force"), new_folder(out):
        pass
    with new_folder(out, force=True) as folder:
        (folder / "file").write_text("new")
    assert names(out) == ["file"]
    assert names(tmp_path) == ["out"]


def test_an_error_keeps_the_collection_that_was_there(tmp_path):
    out = prepared(tmp_path / "out")
    with pytest.raises(ValueError, match="half"):
        write_half(out, ValueError("half"), force=True)
    assert names(tmp_path) == ["out"]
    assert names(out) == ["manifest.json"]


@pytest.mark.parametrize("force", [False, True])
def test_other_folders_are_never_replaced(tmp_path, force):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("")
    with pytest.raises(DataError, match="is not empty and was not written by"), new_folder(out, force=force):
        pass
    assert names(out) == ["thesis.txt"]


def test_files_are_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(DataError, match="is a file; --out names a folder"), new_folder(tmp_path / "out", force=True):
        pass
    with pytest.raises(DataError, match="cannot be made: Not a directory"), new_folder(tmp_path / "out" / "below"):
        pass
