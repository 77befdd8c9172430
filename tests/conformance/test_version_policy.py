"""Versions and labels: SERVING.md section 4, for what can be seen from outside."""

import shutil
import threading

import pytest
from protocol import AVAILABLE, END, Asker
from wire import status_of, turns


def publish(served, source, number):
    """Copy a version of `toy` into `swap`, by renaming, as an exporter does."""
    hidden = served.here / "swap" / f".tmp-{number}"
    shutil.copytree(served.here / "toy" / source, hidden)
    hidden.rename(served.here / "swap" / str(number))


@pytest.fixture
def swap(server, served):
    """The server with `swap`, its version 1 alone."""
    for folder in (served.here / "swap").iterdir():
        if folder.name != "1":
            shutil.rmtree(folder)
    server.reload(served.config("toy"))
    server.reload(served.config("toy"), served.config("swap"))
    return server


def scale(server: Asker, **arguments) -> float:
    """Return the number by which versions differ."""
    return (
        server.predict("slow", turns=turns(0), name="swap", output_filter=["scale"], **arguments)
        .outputs["scale"]
        .float_val[0]
    )


def test_only_integers_are_versions(swap, served):
    for name in ("tmp", "7.tmp", "v8", ".9"):
        shutil.copytree(served.here / "toy" / "2", served.here / "swap" / name)
    publish(served, "2", 3)
    swap.wait_for("swap", {3: AVAILABLE, 1: END})
    assert scale(swap) == 2.0


def test_a_new_version_replaces_the_old_one(swap, served):
    publish(served, "2", 2)
    swap.wait_for("swap", {2: AVAILABLE, 1: END})
    expected = ("NOT_FOUND", "Servable not found for request: Specific(swap, 1)")
    assert status_of(lambda: scale(swap, version=1)) == expected
    assert scale(swap, version=2) == scale(swap) == 2.0


def test_versions_side_by_side_by_policy(swap, served):
    publish(served, "2", 2)
    publish(served, "1", 3)
    swap.reload(served.config("swap", specific=[1, 2]))
    swap.wait_for("swap", {1: AVAILABLE, 2: AVAILABLE})
    assert [scale(swap, version=1), scale(swap, version=2), scale(swap)] == [1.0, 2.0, 2.0]
    swap.reload(served.config("swap", latest=2))
    swap.wait_for("swap", {1: END, 2: AVAILABLE, 3: AVAILABLE})


def test_a_label_follows_loaded_versions_only(swap, served):
    publish(served, "2", 2)
    both = {"specific": [1, 2]}
    swap.reload(served.config("swap", **both))
    swap.wait_for("swap", {1: AVAILABLE, 2: AVAILABLE})
    swap.reload(served.config("swap", **both, labels={"stable": 1, "canary": 2}))
    assert [scale(swap, label="stable"), scale(swap, label="canary")] == [1.0, 2.0]
    assert status_of(lambda: scale(swap, label="beta")) == (
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: beta",
    )
    code, message = status_of(lambda: swap.reload(served.config("swap", **both, labels={"stable": 7})))
    assert code == "FAILED_PRECONDITION"
    assert message == (
        "Request to assign label to version 7 of model swap, which is not currently available for inference"
    )


def test_a_label_stays_on_a_version_that_was_unloaded(swap, served):
    publish(served, "2", 2)
    swap.reload(served.config("swap", specific=[1, 2]))
    swap.wait_for("swap", {1: AVAILABLE, 2: AVAILABLE})
    swap.reload(served.config("swap", specific=[2], labels={"stable": 1}))
    swap.wait_for("swap", {1: END, 2: AVAILABLE})
    expected = ("NOT_FOUND", "Servable not found for request: Specific(swap, 1)")
    assert status_of(lambda: scale(swap, label="stable")) == expected


def test_a_model_that_is_not_listed_is_unloaded(swap, served):
    swap.reload(served.config("toy"))
    swap.wait_for("swap", {1: END})
    assert status_of(lambda: scale(swap)) == ("NOT_FOUND", "Servable not found for request: Latest(swap)")


def test_three_versions_are_exchanged_under_load(swap, served):
    """No request fails, and no answer mixes two versions."""
    answers, failures, enough = [], [], threading.Event()

    def load():
        while not enough.is_set():
            try:
                outputs = swap.predict(texts=["abc"], name="swap").outputs
                features = outputs["sentence_features"].float_val[0], outputs["word_features"].float_val[0]
                answers.append(features)
            except Exception as error:
                failures.append(error)

    callers = [threading.Thread(target=load) for _ in range(8)]
    for caller in callers:
        caller.start()
    try:
        for number, source in ((2, "2"), (3, "1"), (4, "2")):
            publish(served, source, number)
            swap.wait_for("swap", {**dict.fromkeys(range(1, number), END), number: AVAILABLE})
    finally:
        enough.set()
        for caller in callers:
            caller.join()
    assert failures == []
    assert set(answers) == {(3.0, 1.0), (6.0, 2.0)}
