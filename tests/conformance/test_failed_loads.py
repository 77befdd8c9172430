"""Versions that do not load: SERVING.md sections 3 and 4. A stock server tries again for minutes (README.md)."""

import shutil

import pytest
from protocol import AVAILABLE, END
from wire import status_of

SECONDS = 400.0  # a stock server's six attempts, a minute apart
NOT_FOUND, REASON = 5, "Could not find SavedModel .pb or .pbtxt at supplied export directory path: "


@pytest.fixture
def empty_version(served):
    """Write a version folder that holds nothing; it goes with the test."""
    written = []

    def write(name, number):
        written.append(served.here / name / str(number))
        written[-1].mkdir(parents=True)

    yield write
    for folder in written:
        shutil.rmtree(folder)


def test_a_new_model_that_fails_to_load(toy, served, empty_version):
    empty_version("broken", 1)
    code, details = status_of(lambda: toy.reload(served.config("toy"), served.config("broken"), timeout=SECONDS))
    assert code == "UNKNOWN"
    assert details.startswith("1 model(s) did not become available: {")
    assert "{name: broken version: 1} due to error: " in details
    assert REASON in details
    assert details.endswith("}, }")
    (entry,) = toy.status("broken")
    assert (entry.version, entry.state, entry.status.error_code) == (1, END, NOT_FOUND)
    assert entry.status.error_message.startswith(REASON)


def test_a_version_that_fails_leaves_the_old_one(toy, served, empty_version):
    toy.reload(served.config("toy"))
    toy.reload(served.config("toy"), served.config("swap"))
    before = toy.states("swap")
    (old,) = (number for number, state in before.items() if state == AVAILABLE)
    new = max(before) + 1
    empty_version("swap", new)
    toy.wait_for("swap", {old: AVAILABLE, new: END}, SECONDS)
    statuses = {entry.version: entry.status for entry in toy.status("swap")}
    assert (statuses[old].error_code, statuses[old].error_message) == (0, "")
    assert statuses[new].error_code == NOT_FOUND
    assert statuses[new].error_message.startswith(REASON)
    assert toy.predict(name="swap", texts=["abc"]).model_spec.version.value == old
