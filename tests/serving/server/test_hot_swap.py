"""New versions of a running server, reloads, and the end."""

import shutil
import threading
import time

import pytest

from dafsn_client import Client, NotFound, ServerError
from dafsn_server.server import Server


def test_versions_are_exchanged_under_load_without_a_lost_or_mixed_answer(target, swap_path, toy_versions):
    answers, failures, stop = [], [], threading.Event()

    def load():
        with Client(target, "swap", retries=0) as caller:
            while not stop.is_set():
                try:
                    features = caller.encode_text(["abc"])
                    answers.append((features.sentence_features[0, 0], features.word_features[0, 0, 0]))
                except ServerError as error:
                    failures.append(error)

    callers = [threading.Thread(target=load) for _ in range(3)]
    with Client(target, "swap") as client:
        for caller in callers:
            caller.start()
        shutil.copytree(toy_versions / "2", swap_path / ".tmp-2")
        (swap_path / ".tmp-2").rename(swap_path / "2")
        deadline = time.monotonic() + 15
        while [state.state for state in client.status()] != ["AVAILABLE", "END"] and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)
        stop.set()
        for caller in callers:
            caller.join()
        assert [(state.version, state.state) for state in client.status()] == [(2, "AVAILABLE"), (1, "END")]
    assert failures == []
    assert set(answers) == {(3.0, 1.0), (6.0, 2.0)}
    with Client(target, "swap", version=1) as pinned, pytest.raises(NotFound, match=r"Specific\(swap, 1\)"):
        pinned.encode_text(["abc"])


def test_reload_serves_a_new_model_and_drops_the_others(toy_versions, tmp_path):
    with Server({"first": toy_versions}, port=0, host="127.0.0.1") as server:
        target = f"127.0.0.1:{server.port}"
        with Client(target, "second") as second, Client(target, "second", label="stable") as stable:
            second.reload_config({"second": toy_versions}, {"second": {"stable": 2}}, timeout=30)
            assert stable.encode_text(["abc"]).sentence_features[0, 0] == 6.0
            with pytest.raises(ServerError, match="did not become available") as caught:
                second.reload_config({"second": toy_versions, "third": tmp_path / "none"})
            assert caught.value.code.name == "UNKNOWN"
        with Client(target, "first") as first:
            assert [(state.version, state.state) for state in first.status()] == [(2, "END")]
            with pytest.raises(NotFound, match=r"Latest\(first\)"):
                first.search(["x"])
