import pytest

from dafsn_tf.baselines.tasks import Allowance, Task, collection_name, completed, tasks_of
from dafsn_tf.data.items import SPLITS
from dafsn_tf.data.manifest import Manifest, SplitInfo


@pytest.fixture
def tasks(tmp_path):
    return [Task(f"m{n}", tmp_path, "toy-1234", "sentence", 0, tmp_path / f"m{n}.json") for n in range(5)]


def record_of(task):
    return {"method": task.method, "seconds": 1.0, "validation": 0.5, "per_query": {"protocol": "sentence"}}


def test_what_an_allowance_does_not_reach_is_left(tasks):
    made, lines = [], []
    allowance = Allowance(5)

    def make(task):
        for _ in range({"m0": 1, "m1": 0}.get(task.method, 4)):
            allowance.take()
        made.append(task.method)
        return record_of(task)

    def go_on(asked):
        return completed(tasks, asked, lambda task: None, make, lines.append, [])

    found = go_on(tasks[:4])
    assert (made, found.left) == (["m0", "m1", "m2"], 1)
    assert [run["method"] for run in found.runs] == made
    assert found.missing == ["m3 on toy-1234, seed 0", "m4 on toy-1234, seed 0"]  # m4 was not asked for
    assert lines[0].startswith("[1/4] m0")
    assert (go_on(tasks[:4]).left, allowance.trained) == (1, 5)
    allowance = Allowance(4)
    found = go_on(tasks[:4])
    assert (made[3:], found.left) == (["m3"], 0)
    allowance = Allowance()
    assert go_on(tasks).left == 0
    assert made == ["m0", "m1", "m2", "m3", "m4"]


@pytest.mark.parametrize("name", ["toy", "my [set] #1", "what?", "*"])
def test_seeds_of_runs_that_are_there_are_found_whatever_the_collection_is_called(tmp_path, name):
    manifest = Manifest(name, "jsonl", 0, False, (), {split: SplitInfo(0, 0, 0, ()) for split in SPLITS})
    for run in (f"m0-{collection_name(manifest)}-3", f"m1-{collection_name(manifest)}-1", "m0-another-12345678-7"):
        (tmp_path / f"{run}.json").write_text("{}")
    assert [task.seed for task in tasks_of(["m0"], tmp_path, manifest, [0], tmp_path)] == [0, 1, 3]
