import pytest

from dafsn_tf.baselines.tasks import Task, completed


@pytest.fixture
def tasks(tmp_path):
    return [Task(f"m{n}", tmp_path, "toy-1234", "sentence", 0, tmp_path / f"m{n}.json") for n in range(5)]


def record_of(task):
    return {"method": task.method, "seconds": 1.0, "validation": 0.5, "per_query": {"protocol": "sentence"}}


def test_no_run_begins_when_enough_models_have_been_trained(tasks):
    made, lines = [], []

    def make(task):
        made.append(task.method)
        return record_of(task), {"m0": 1, "m1": 0}.get(task.method, 4)

    def go_on(asked, at_most):
        return completed(tasks, asked, lambda task: None, make, lines.append, [], at_most=at_most)

    found = go_on(tasks[:4], 5)
    assert (made, found.left) == (["m0", "m1", "m2"], 1)
    assert [run["method"] for run in found.runs] == made
    assert found.missing == ["m3 on toy-1234, seed 0", "m4 on toy-1234, seed 0"]  # m4 was not asked for
    assert lines[0].startswith("[1/4] m0")
    found = go_on(tasks[:4], 5)
    assert (made[3:], found.left) == (["m3"], 0)
    assert go_on(tasks, None).left == 0
    assert made == ["m0", "m1", "m2", "m3", "m4"]
