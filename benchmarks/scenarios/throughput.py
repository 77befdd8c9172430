"""Speed of answers: in a session, by a bare stub, by the client; of many callers, with and without batching."""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from dafsn_client import Client
from scenarios.embedded_server import NAME, Figures, newest, request, server, stub


@contextmanager
def session(models: Path) -> Iterator[Callable[[str], Any]]:
    """Yield a function that encodes a text in the newest version's session in this process, as the server does."""
    import tensorflow_text as _  # noqa: F401  registers the ops of exported tokenisers

    from dafsn_server.model import LoadedModel

    loaded = LoadedModel(newest(models))
    signature = loaded.signatures["encode_text"]
    fetches = [signature.outputs[name].name for name in sorted(signature.outputs)]
    try:
        yield lambda text: loaded.run({signature.inputs["texts"].name: np.array([text.encode()], object)}, fetches)
    finally:
        loaded.close()


def overhead(models: Path, calls: int = 500) -> Figures:
    """Measure one caller's request: in a session in this process, by a bare stub, by the client."""
    asked = request("encode_text", texts=["a red star"])
    with (
        session(models) as in_process,
        server(models) as running,
        grpc.insecure_channel(running.target) as channel,
        Client(running.target, NAME) as client,
    ):
        predict = stub(channel)
        ways = {
            "session": lambda: in_process("a red star"),
            "stub": lambda: predict(asked, timeout=30),
            "client": lambda: client.encode_text(["a red star"]),
        }
        durations: dict[str, list[float]] = {name: [] for name in ways}
        for call in range(calls + 20):  # in turns, so that all three meet the same machine
            for name, ask in ways.items():
                started = time.perf_counter()
                ask()
                if call >= 20:
                    durations[name].append(time.perf_counter() - started)
    median = {name: 1000 * statistics.median(values) for name, values in durations.items()}
    return {
        "session in process, ms": round(median["session"], 3),
        "bare stub, ms": round(median["stub"], 3),
        "client, ms": round(median["client"], 3),
        "client over stub": round(median["client"] / median["stub"], 2),
        "server over session, ms": round(median["stub"] - median["session"], 3),
    }


def throughput(models: Path, seconds: float = 8.0, callers: int = 16) -> Figures:
    """Measure requests a second, of one text each: in a session in this process, by the server, by it with batching."""
    text = "a red star above a ring"
    with session(models) as in_process:
        rates = {"session in process": _rate(lambda: nullcontext(lambda: in_process(text)), seconds, callers)}
    with tempfile.TemporaryDirectory() as folder:
        batching = Path(folder) / "batching.config"
        batching.write_text(
            "max_batch_size { value: 32 } batch_timeout_micros { value: 1000 }\n"
            "max_enqueued_batches { value: 100 } num_batch_threads { value: 2 }\n"
        )
        for name, options in (("off", ()), ("on", (f"--batching-parameters-file={batching}",))):
            with server(models, *options) as running:
                rates[f"server, batching {name}"] = _rate(lambda: _asking(running.target, text), seconds, callers)
    alone, off, on = rates.values()
    return {
        "callers": callers,
        **{f"requests a second, {name}": round(rate) for name, rate in rates.items()},
        "batching off over session": round(off / alone, 2),
        "batching on over session": round(on / alone, 2),
        "batching on over off": round(on / off, 2),
    }


@contextmanager
def _asking(target: str, text: str) -> Iterator[Callable[[], Any]]:
    """Yield a function that asks a server by a bare stub on a channel of its own."""
    asked = request("encode_text", texts=[text])
    with grpc.insecure_channel(target) as channel:
        predict = stub(channel)
        yield lambda: predict(asked, timeout=30)


def _rate(caller: Callable[[], AbstractContextManager[Callable[[], Any]]], seconds: float, callers: int) -> float:
    """Return how often a second that many threads ask."""
    counts = [0] * callers
    over = threading.Event()

    def load(place: int) -> None:
        with caller() as ask:
            while not over.is_set():
                ask()
                counts[place] += 1

    threads = [threading.Thread(target=load, args=(place,)) for place in range(callers)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    first, started = sum(counts), time.monotonic()
    time.sleep(seconds)
    rate = (sum(counts) - first) / (time.monotonic() - started)
    over.set()
    for thread in threads:
        thread.join()
    return rate
