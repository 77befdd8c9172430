import contextlib
import json
import os
import socket
import threading
import time
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from dafsn_tf.config import Config
from dafsn_tf.errors import ConfigError, RunError
from dafsn_tuner import keras_tuner_distribution as distribution
from dafsn_tuner import search
from dafsn_tuner.distribution import Place, place
from dafsn_tuner.keras_tuner_adapter import DAFSNHyperModel
from dafsn_tuner.keras_tuner_oracles import described, make_oracle
from dafsn_tuner.space import Choice, Range
from dafsn_tuner.trials import OBJECTIVE

SPACE = {
    "training.learning_rate": Range(1e-4, 1e-2, log=True),
    "loss.adversarial_weight": Choice((0.0, 0.1, 0.3)),
    "discriminator.steps": Choice((1, 3)),
}
TRIALS: Any = SimpleNamespace(config=Config())  # of which a search asks no more than its configuration
VARIABLES = {"KERASTUNER_ORACLE_IP": "10.0.0.5", "KERASTUNER_ORACLE_PORT": "7000"}


@pytest.mark.parametrize(
    ("chief", "role", "environment", "expected"),
    [
        (None, None, {}, None),
        ("10.0.0.5:7000", "chief", {}, "chief"),
        ("10.0.0.5:7000", None, {}, "worker"),
        ("10.0.0.5:7000", None, {"KERASTUNER_TUNER_ID": "node3"}, "worker"),
        (None, None, {**VARIABLES, "KERASTUNER_TUNER_ID": "chief"}, "chief"),
        (None, None, {**VARIABLES, "KERASTUNER_TUNER_ID": "node3"}, "worker"),
        (None, "worker", {**VARIABLES, "KERASTUNER_TUNER_ID": "chief"}, "worker"),
    ],
)
def test_options_or_the_environment_give_a_process_its_place(chief, role, environment, expected):
    found = place(chief, role, environment)
    if found is None:
        assert expected is None
        return
    assert (found.role, found.address) == (expected, "10.0.0.5:7000")
    if expected == "worker":
        assert "chief" not in found.name  # Keras Tuner would take it for the chief
        assert found.name != place(chief, role, environment).name
        if environment.get("KERASTUNER_TUNER_ID") == "node3":
            assert found.name.startswith("node3-")


@pytest.mark.parametrize(
    ("chief", "role", "environment", "message"),
    [
        ("10.0.0.5", "chief", {}, "HOST:PORT"),
        (":7000", None, {}, "HOST:PORT"),
        ("host:0", None, {}, "HOST:PORT"),
        ("host:70000", None, {}, "HOST:PORT"),
        ("host:seven", None, {}, "HOST:PORT"),
        ("host:7000", "boss", {}, "chief, worker"),
        (None, "chief", {}, "needs the chief's address"),
        (None, None, VARIABLES, "KERASTUNER_TUNER_ID"),
        (None, None, {"KERASTUNER_ORACLE_IP": "host", "KERASTUNER_TUNER_ID": "a"}, "KERASTUNER_ORACLE_PORT"),
    ],
)
def test_what_gives_no_place_is_told(chief, role, environment, message):
    with pytest.raises(ConfigError, match=message):
        place(chief, role, environment)


@pytest.fixture
def quick(monkeypatch):
    """Times of a search whose trials take none."""
    for name, seconds in (("BEAT", 0.05), ("SILENCE", 0.5), ("GRACE", 0.5), ("WAIT", 5.0), ("_POLL", 0.05)):
        monkeypatch.setattr(distribution, name, seconds)


@pytest.fixture
def here():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return Place("chief", "127.0.0.1", free.getsockname()[1], "chief")


def oracle_in(folder, algorithm="random", max_trials=3, space=SPACE, first=None):
    """Return an oracle whose state stands in a folder, as a tuner makes it."""
    oracle = make_oracle(algorithm, max_trials, 4, 0, first)
    oracle._set_project_dir(folder, "state")
    if (folder / "state" / "oracle.json").exists():
        oracle.reload()
    else:
        hyperparameters = oracle.get_space()
        DAFSNHyperModel(TRIALS, space).declare_hyperparameters(hyperparameters)
        oracle.update_space(hyperparameters)
    return oracle


class Served:
    """A chief at work in a thread of its own."""

    def __init__(self, here, oracle, max_trials=3):
        self.oracle, self.lines, self.errors = oracle, [], []
        oracle.begin(self.lines.append, max_trials, None)
        self.chief = distribution.Chief(here, self.lines.append)
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self):
        try:
            self.chief.serve(self.oracle)
        except Exception as error:
            self.errors.append(error)

    def interrupt(self):
        def interrupted(servicer):
            raise InterruptedError

        self.chief._look_after = interrupted
        self.thread.join(timeout=20)
        assert [type(error) for error in self.errors] == [InterruptedError]

    def end(self):
        self.thread.join(timeout=20)
        assert not self.thread.is_alive()
        assert not self.errors
        return [described(self.oracle.trials[name]) for name in self.oracle.start_order]


class Worker:
    """A worker that trains nothing."""

    def __init__(self, here, name, folder):
        self.name, self.lines = name, []
        with distribution.environment(Place("worker", here.host, here.port, name)):
            self.client = distribution._Client(oracle_in(folder), here.address, self.lines.append)

    def begin(self):
        while (trial := self.client.create_trial(self.name)).status == "IDLE":
            pass
        return trial

    def finish(self, trial, value=0.5):
        self.client.update_trial(trial.trial_id, {OBJECTIVE: value}, step=2)
        trial.status = "COMPLETED"
        self.client.end_trial(trial)

    def run_all(self):
        while (trial := self.begin()).status != "STOPPED":
            self.finish(trial)
        self.client.close()

    def fall_silent(self):
        self.client._closed.set()


@pytest.fixture
def join(here, tmp_path):
    """Makes workers: `join("a")`."""
    made = []

    def make(name):
        made.append(Worker(here, name, tmp_path / name))
        return made[-1]

    yield make
    for worker in made:
        worker.client.close()


def test_the_trial_of_a_lost_worker_is_run_by_another_and_ends_once(quick, here, join, tmp_path):
    served = Served(here, oracle_in(tmp_path))
    lost, other = join("lost"), join("other")
    trial = lost.begin()
    lost.fall_silent()
    again = []
    while len(again) < 3:
        again.append(other.begin())
        other.finish(again[-1], 0.25 * len(again))
    with pytest.raises(distribution._TrialTaken):
        lost.finish(trial)
    assert other.begin().status == "STOPPED"
    found = served.end()
    assert [entry.status for entry in found] == ["completed"] * 3
    assert sorted(served.oracle.end_order) == sorted(served.oracle.start_order) == ["0", "1", "2"]
    (mine,) = [entry for entry in again if entry.trial_id == trial.trial_id]
    assert mine.hyperparameters.values == trial.hyperparameters.values
    assert max(entry.validation for entry in found) == 0.75
    assert found[0].epochs == 3
    assert sum("lost is lost" in line and "trial 1 with it" in line for line in served.lines) == 1
    assert sum("validation" in line for line in served.lines) == 3


def test_values_and_their_types_travel_exactly(quick, here, join, tmp_path):
    served = Served(here, oracle_in(tmp_path))
    worker = join("a")
    model = DAFSNHyperModel(TRIALS, SPACE)
    for _ in range(3):
        trial = worker.begin()
        kept = served.oracle.trials[trial.trial_id].hyperparameters
        assert model.values(trial.hyperparameters) == model.values(kept.copy())
        worker.finish(trial)
    worker.run_all()
    assert [model.values(entry.hyperparameters.copy()) for entry in served.oracle.trials.values()] == [
        entry.values for entry in served.end()
    ]


def test_a_worker_that_leaves_hands_its_trial_back_at_once(quick, here, join, tmp_path, monkeypatch):
    monkeypatch.setattr(distribution, "SILENCE", 60.0)
    served = Served(here, oracle_in(tmp_path))
    leaving, other = join("leaving"), join("other")
    trial = leaving.begin()
    leaving.client.close()
    assert other.begin().trial_id == trial.trial_id
    other.finish(trial)
    other.run_all()
    assert [entry.status for entry in served.end()] == ["completed"] * 3
    assert "leaving hands trial 1 back" in served.lines


def test_a_worker_that_was_silent_keeps_a_trial_that_nobody_took(quick, here, join, tmp_path):
    served = Served(here, oracle_in(tmp_path))
    worker = join("a")
    trial = worker.begin()
    worker.fall_silent()
    while not served.oracle.waiting():
        time.sleep(0.02)
    worker.finish(trial)
    assert served.oracle._losses[trial.trial_id] == 0
    worker.run_all()
    assert [entry.status for entry in served.end()] == ["completed"] * 3
    assert served.oracle.end_order == ["0", "1", "2"]
    assert "a is back" in served.lines


def test_a_trial_that_takes_its_workers_with_it_fails(quick, here, join, tmp_path):
    served = Served(here, oracle_in(tmp_path, max_trials=1), max_trials=1)
    for name in "abc":
        worker = join(name)
        assert worker.begin().trial_id == "0"
        worker.fall_silent()
    join("d").run_all()
    (found,) = served.end()
    assert found.status == "failed"
    assert "3 workers" in found.error


def test_the_error_of_a_failed_trial_reaches_the_chief(quick, here, join, tmp_path):
    served = Served(here, oracle_in(tmp_path))
    worker = join("a")
    trial = worker.begin()
    trial.status, trial.message = "INVALID", "Traceback ...\n  line 1\nRunError: the loss is not finite: Größe\n"
    worker.client.end_trial(trial)
    worker.run_all()
    found = served.end()
    assert [entry.status for entry in found] == ["failed", "completed", "completed"]
    assert found[0].error == "RunError: the loss is not finite: Größe"
    assert any(line.startswith("trial 1/3: failed: RunError") for line in served.lines)


def test_a_chief_that_is_started_anew_finds_its_workers_and_their_trials(quick, here, join, tmp_path):
    first = Served(here, oracle_in(tmp_path))
    worker, idle = join("a"), join("b")
    done, trial = worker.begin(), idle.begin()
    worker.finish(done, 0.9)
    first.interrupt()
    deadline = time.monotonic() + 10
    while not idle.lines and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "does not answer; trial 2 goes on" in idle.lines[0]
    second = Served(here, oracle_in(tmp_path))
    idle.finish(trial, 0.4)
    worker.run_all()
    idle.run_all()
    found = second.end()
    assert [entry.status for entry in found] == ["completed"] * 3
    assert found[0].validation == pytest.approx(0.9)
    assert not any(line.startswith("trial 1/3") for line in second.lines)


def test_an_error_of_the_oracle_ends_the_chief_and_its_worker(quick, here, join, tmp_path, monkeypatch):
    oracle = oracle_in(tmp_path)
    monkeypatch.setattr(oracle, "populate_space", lambda trial_id: 1 / 0)
    served = Served(here, oracle)
    with pytest.raises(RunError, match="failed"):
        join("a").begin()
    served.thread.join(timeout=10)
    assert [type(error) for error in served.errors] == [ZeroDivisionError]


def test_a_budget_ends_a_chief_without_workers(quick, here, tmp_path):
    oracle = oracle_in(tmp_path)
    oracle.begin(lambda line: None, 3, 0.2 / 60)
    distribution.Chief(here, lambda line: None).serve(oracle)
    assert oracle.start_order == []


def test_a_worker_waits_for_its_chief_and_no_longer_than_that(quick, here, monkeypatch):
    monkeypatch.setattr(distribution, "WAIT", 0.3)
    lines = []
    with pytest.raises(RunError, match="--role chief"):
        distribution.wait_for_chief(here, lines.append)
    assert lines == [f"waiting for the chief at {here.address}"]


def test_a_worker_of_another_search_is_turned_away(quick, here, config, data, tmp_path):
    served, out = Served(here, oracle_in(tmp_path)), tmp_path / "out"
    arguments = (config, SPACE, data, out, Place("worker", here.host, here.port, "a"))
    with pytest.raises(RunError, match="not the folder of the chief"):
        search.work(*arguments, algorithm="random")
    out.mkdir()
    identity = search._identity(config, SPACE, data, "random", (0,))
    (out / search.SEARCH).write_text(json.dumps(identity))
    with pytest.raises(RunError, match="another algorithm and seeds"):
        search.work(*arguments, algorithm="grid", seeds=(1,))
    served.interrupt()


def test_an_address_in_use_is_told(here):
    with socket.socket() as taken:
        taken.bind((here.host, here.port))
        taken.listen()
        with pytest.raises(ConfigError, match=f"cannot listen at {here.address}"):
            distribution.Chief(here, print)


def test_strangers_report_nothing(quick, here, join, tmp_path):
    served = Served(here, oracle_in(tmp_path))
    worker = join("a")
    trial = worker.begin()
    with grpc.insecure_channel(here.address) as channel:
        stub = distribution._stubs.OracleStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.GetTrial(distribution._service.GetTrialRequest(trial_id=trial.trial_id))
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    worker.finish(trial)
    worker.run_all()
    assert len(served.end()) == 3


def test_the_environment_is_left_as_it_was(monkeypatch):
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "before")
    with contextlib.suppress(ZeroDivisionError), distribution.environment(Place("worker", "h", 1, "w")):
        assert os.environ["KERASTUNER_TUNER_ID"] == "w"
        assert os.environ["KERASTUNER_ORACLE_PORT"] == "1"
        raise ZeroDivisionError
    assert os.environ["KERASTUNER_TUNER_ID"] == "before"
    assert "KERASTUNER_ORACLE_PORT" not in os.environ


def test_a_bayesian_search_leaves_chance_and_begins_with_what_is_given(tmp_path):
    first = {"training.learning_rate": 2e-3, "loss.adversarial_weight": 0.0}
    oracle = oracle_in(tmp_path, "bayesian", 9, first=first)
    oracle.begin(lambda line: None, 9, None)
    run(oracle, 9)
    assert oracle.trials["0"].hyperparameters.values == first
    assert len(oracle.end_order) == 9
    assert hasattr(oracle.gpr, "X_train_")


def run(oracle, trials, interrupted=()):
    """Run trials one after another until there are no more."""
    for _ in range(trials):
        trial = oracle.create_trial("tuner0")
        if trial.status == "STOPPED":
            return
        if trial.trial_id in interrupted:
            return
        oracle.update_trial(trial.trial_id, {OBJECTIVE: 0.5})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)


def test_a_grid_that_was_interrupted_goes_on_through_all_of_it(tmp_path):
    space = {
        "model.dim": Choice((64, 128, 256)),
        "loss.adversarial_weight": Choice((0.0, 0.1)),
        "discriminator.steps": Choice((1, 3)),
    }
    begun = oracle_in(tmp_path, "grid", 50, space)
    begun.begin(lambda line: None, 50, None)
    run(begun, 50, interrupted=("04",))
    going_on = oracle_in(tmp_path, "grid", 50, space)
    going_on.begin(lambda line: None, 50, None)
    run(going_on, 50)
    model = DAFSNHyperModel(TRIALS, space)
    tried = [tuple(model.values(trial.hyperparameters.copy()).values()) for trial in going_on.trials.values()]
    assert len(tried) == len(set(tried)) == 3 * (1 + 2)
    assert sorted(going_on.end_order) == sorted(going_on.start_order) == [f"{number:02d}" for number in range(9)]


def test_a_trial_whose_beginning_a_kill_cut_off_has_not_begun(tmp_path):
    begun = oracle_in(tmp_path)
    begun.begin(lambda line: None, 3, None)
    run(begun, 1)
    state = (tmp_path / "state" / "oracle.json").read_text()
    begun.create_trial("tuner0")
    (tmp_path / "state" / "oracle.json").write_text(state)  # the trial's own file is written first
    going_on = oracle_in(tmp_path)
    going_on.begin(lambda line: None, 3, None)
    run(going_on, 5)
    assert going_on.start_order == going_on.end_order == ["0", "1", "2"]


def test_a_search_draws_the_same_trials_again(tmp_path):
    drawn = []
    for folder in ("a", "b"):
        oracle = oracle_in(tmp_path / folder)
        oracle.begin(lambda line: None, 3, None)
        run(oracle, 3)
        drawn.append([trial.hyperparameters.values for trial in oracle.trials.values()])
    assert drawn[0] == drawn[1]
