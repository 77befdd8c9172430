import re
import threading
from pathlib import Path

import grpc
import pytest
from tensorflow_serving.apis import model_pb2

from dafsn_server.refusal import Refusal, invalid, truncated
from dafsn_server.repository import Repository
from dafsn_server.versions import ModelConfig, State, Versions, discover, wanted


class Loaded:
    """What stands for a loaded version: remembers its folder and whether it was closed."""

    def __init__(self, path):
        if (path / "broken").exists():
            raise invalid(f"{path.name} is broken")
        self.path = path
        self.closed = False

    def close(self):
        self.closed = True


def add(base_path, *names, broken=False):
    for name in names:
        (base_path / name).mkdir(parents=True)
        if broken:
            (base_path / name / "broken").touch()


def states(versions):
    return {number: state.name for number, (state, _) in versions.snapshot().items()}


def test_only_folders_named_by_integers_are_versions(tmp_path):
    add(tmp_path, "1", "00012", ".tmp-3", "v4", "5.tmp", "٣", str(2**63))
    (tmp_path / "6").touch()
    assert discover(tmp_path) == {1: tmp_path / "1", 12: tmp_path / "00012"}
    with pytest.raises(OSError, match="none"):
        discover(tmp_path / "none")


def test_policies():
    found = {number: Path(str(number)) for number in (1, 2, 10)}
    assert wanted(ModelConfig("m", Path("/m")), found) == {10}
    assert wanted(ModelConfig("m", Path("/m"), latest=2), found) == {2, 10}
    assert wanted(ModelConfig("m", Path("/m"), latest=0), found) == {1, 2, 10}
    assert wanted(ModelConfig("m", Path("/m"), specific=(1, 7)), found) == {1}


def test_the_new_version_loads_before_the_old_one_goes(tmp_path):
    add(tmp_path, "1")
    seen = []
    versions = Versions(ModelConfig("m", tmp_path), lambda path: (seen.append(versions.available()), Loaded(path))[1])
    versions.update()
    add(tmp_path, "2")
    versions.update()
    assert seen == [[], [1]]
    assert states(versions) == {1: "END", 2: "AVAILABLE"}


def test_a_version_that_fails_leaves_the_old_one_and_is_not_tried_again(tmp_path):
    add(tmp_path, "1")
    attempts = []
    versions = Versions(ModelConfig("m", tmp_path), lambda path: (attempts.append(path.name), Loaded(path))[1])
    versions.update()
    add(tmp_path, "2", broken=True)
    versions.update()
    versions.update()
    assert attempts == ["1", "2"]
    assert states(versions) == {1: "AVAILABLE", 2: "END"}
    failure = versions.snapshot()[2][1]
    assert failure is not None
    assert failure.message == "2 is broken"
    (tmp_path / "2").rename(tmp_path / "aside")
    versions.update()
    add(tmp_path, "2")
    versions.update()
    assert attempts == ["1", "2", "2"]
    assert states(versions) == {1: "END", 2: "AVAILABLE"}


def test_any_exception_of_a_loader_is_a_failed_version(tmp_path):
    add(tmp_path, "1")
    versions = Versions(ModelConfig("m", tmp_path), lambda path: 1 / 0)
    versions.update()
    state, failure = versions.snapshot()[1]
    assert state == State.END
    assert failure is not None
    assert (failure.code, failure.message) == (grpc.StatusCode.UNKNOWN, "division by zero")


def test_a_version_in_use_is_unloaded_only_afterwards(tmp_path):
    add(tmp_path, "1")
    versions = Versions(ModelConfig("m", tmp_path), Loaded)
    versions.update()
    with versions.using(None) as (number, model):
        assert number == 1
        add(tmp_path, "2")
        swap = threading.Thread(target=versions.update)
        swap.start()
        while states(versions)[1] != "UNLOADING":
            pass
        assert not model.closed
        with pytest.raises(Refusal, match=r"Servable not found for request: Specific\(m, 1\)"), versions.using(1):
            pass
        with versions.using(None) as (newest, _):
            assert newest == 2
    swap.join()
    assert model.closed
    assert states(versions)[1] == "END"


def test_an_emptied_base_path_unloads_and_a_vanished_one_does_not(tmp_path):
    base_path = tmp_path / "base"
    add(base_path, "1")
    versions = Versions(ModelConfig("m", base_path), Loaded)
    versions.update()
    base_path.rename(tmp_path / "aside")
    with pytest.raises(OSError, match="base"):
        versions.update()
    assert states(versions) == {1: "AVAILABLE"}
    base_path.mkdir()
    versions.update()
    assert states(versions) == {1: "END"}


def test_labels_follow_available_versions_only(tmp_path):
    add(tmp_path, "1", "2")
    repository = Repository(Loaded)
    repository.configure([ModelConfig("m", tmp_path, latest=0, labels={"stable": 1, "canary": 2})])
    with repository.using(model_pb2.ModelSpec(name="m", version_label="stable")) as (number, _):
        assert number == 1
    with pytest.raises(Refusal, match="Request to assign label to version 3 of model m, which is not") as caught:
        repository.configure([ModelConfig("m", tmp_path, latest=0, labels={"stable": 3})])
    assert caught.value.code == grpc.StatusCode.FAILED_PRECONDITION
    with repository.using(model_pb2.ModelSpec(name="m", version_label="stable")) as (number, _):
        assert number == 1
    repository.close()


def test_a_model_left_out_of_the_list_is_unloaded_but_remembered(tmp_path):
    add(tmp_path / "a", "1")
    add(tmp_path / "b", "1")
    repository = Repository(Loaded)
    repository.configure([ModelConfig("a", tmp_path / "a")])
    repository.configure([ModelConfig("b", tmp_path / "b")])
    assert repository.states(model_pb2.ModelSpec(name="a")) == {1: (State.END, None)}
    repository.configure([ModelConfig("a", tmp_path / "a")])
    with repository.using(model_pb2.ModelSpec(name="a")) as (number, _):
        assert number == 1
    repository.close()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", r"{name: m} due to error: Could not find base path .*/gone: No such file or directory"),
        ("bare", r"{name: m} due to error: No versions of servable m found under base path .*/bare"),
        ("bad", r"{name: m version: 1} due to error: INVALID_ARGUMENT: 1 is broken"),
    ],
)
def test_a_new_model_that_cannot_be_served_is_told_at_once(tmp_path, name, message):
    (tmp_path / "bare").mkdir()
    add(tmp_path / "bad", "1", broken=True)
    repository = Repository(Loaded)
    with pytest.raises(Refusal) as caught:
        repository.configure([ModelConfig("m", tmp_path / name)])
    assert caught.value.code == grpc.StatusCode.UNKNOWN
    assert re.fullmatch(rf"1 model\(s\) did not become available: {{{{{message}}}, }}", caught.value.message)


def test_each_new_model_that_cannot_be_served_is_told(tmp_path):
    add(tmp_path / "a", "1", broken=True)
    add(tmp_path / "b", "2", broken=True)
    repository = Repository(Loaded)
    with pytest.raises(Refusal) as caught:
        repository.configure([ModelConfig("a", tmp_path / "a"), ModelConfig("b", tmp_path / "b")])
    assert caught.value.message == (
        "2 model(s) did not become available: {{{name: a version: 1} due to error: INVALID_ARGUMENT: 1 is broken}, "
        "{{name: b version: 2} due to error: INVALID_ARGUMENT: 2 is broken}, }"
    )


def test_messages_are_cut_between_characters():
    assert truncated("x" * 1024) == "x" * 1024
    assert truncated("x" * 1025) == "x" * 1024 + "...TRUNCATED"
    assert truncated("x" + "é" * 600) == "x" + "é" * 511 + "...TRUNCATED"
