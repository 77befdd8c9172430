"""Versions that are exchanged, and servers that are killed, under load."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
import numpy as np

from dafsn_client import Client, ServerError, tensors
from scenarios.embedded_server import NAME, Figures, ServerProcess, request, server, stub


def hot_swap(requests: int = 10_000, callers: int = 8) -> Figures:
    """Exchange three versions under load, of `requests` and more; no request may fail, no answer may mix two versions.

    The versions are the tests' toy model, whose outputs all grow with the version's scale: each answer must be, in
    every part, that of the version it names.
    """
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "serving"))
    from toy_model import write_version

    scales = {number: float(number) for number in (1, 2, 3, 4)}
    lock, exchanged = threading.Lock(), threading.Event()
    failures: list[str] = []
    versions: Counter[int] = Counter()
    mixed = 0

    def load() -> None:
        nonlocal mixed
        with grpc.insecure_channel(running.target) as channel:
            predict = stub(channel)
            while not exchanged.is_set() or sum(versions.values()) < requests:
                try:
                    answer = predict(request("encode_text", texts=[b"abc"]), timeout=60)
                except grpc.RpcError as error:
                    failures.append(str(error))
                    continue
                number = answer.model_spec.version.value
                sentences, words = (
                    tensors.from_proto(answer.outputs[name]) for name in ("sentence_features", "word_features")
                )
                with lock:
                    versions[number] += 1
                    mixed += not ((sentences == 3 * scales[number]).all() and (words == scales[number]).all())

    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / NAME
        write_version(base, 1, scales[1])
        with server(base, "--poll-seconds", "0.2") as running, Client(running.target, NAME) as client:
            threads = [threading.Thread(target=load) for _ in range(callers)]
            started = time.monotonic()
            for thread in threads:
                thread.start()
            for number in (2, 3, 4):
                while sum(versions.values()) < (number - 1) * requests // 4 and not failures:
                    time.sleep(0.01)
                write_version(base, number, scales[number])
                while client.status()[0].version != number or client.status()[0].state != "AVAILABLE":
                    time.sleep(0.01)
            exchanged.set()
            for thread in threads:
                thread.join()
            seconds = time.monotonic() - started
    answered = sum(versions.values())
    return {
        "requests": answered + len(failures),
        "callers": callers,
        "failed": len(failures),
        "mixed answers": mixed,
        "answers by version": ", ".join(f"{number}: {count}" for number, count in sorted(versions.items())),
        "requests a second": round(answered / seconds),
    }


def kill(models: Path, seconds_down: float = 1.0, callers: int = 4) -> Figures:
    """Kill -9 in mid-load and start again: callers see typed errors alone, and recover by themselves."""
    process = ServerProcess(models)
    process.start()
    outcomes: list[tuple[float, str]] = []
    wrong = 0
    over = threading.Event()
    try:
        with Client(process.target, NAME) as client:
            expected = client.encode_text(["a red star"]).sentence_features

        def load() -> None:
            nonlocal wrong
            with Client(process.target, NAME, timeout=2.0, retries=2) as caller:
                while not over.is_set():
                    try:
                        features = caller.encode_text(["a red star"]).sentence_features
                        wrong += not np.array_equal(features, expected)
                        outcome = "OK"
                    except ServerError as error:
                        outcome = type(error).__name__
                    except Exception as error:
                        outcome = f"untyped {type(error).__name__}"
                    outcomes.append((time.monotonic(), outcome))

        threads = [threading.Thread(target=load) for _ in range(callers)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        process.kill()
        killed = time.monotonic()
        time.sleep(seconds_down)
        process.start()
        restarted = time.monotonic()
        time.sleep(4)
        over.set()
        for thread in threads:
            thread.join()
    finally:
        over.set()
        process.stop()
    counts = Counter(outcome for _, outcome in outcomes)
    recovered = [moment for moment, outcome in outcomes if outcome == "OK" and moment > killed]
    late = [outcome for moment, outcome in outcomes if moment > restarted + 3 and outcome != "OK"]
    return {
        "answers": counts.pop("OK", 0),
        "wrong answers": wrong,
        "typed errors": sum(count for name, count in counts.items() if not name.startswith("untyped")),
        "untyped errors": sum(count for name, count in counts.items() if name.startswith("untyped")),
        "kinds": ", ".join(sorted(counts)) or "none",
        "first answer after the restart, s": round(min(recovered, default=float("inf")) - restarted, 2),
        "errors from 3 s after it": len(late),
    }


def killed_job(models: Path, lines: int = 20_000) -> Figures:
    """Kill -9 the server under `dafsn-client encode --out`; the command goes on, and no line is lost or doubled."""
    process = ServerProcess(models)
    process.start()
    with tempfile.TemporaryDirectory() as folder:
        questions, answers = Path(folder) / "questions.jsonl", Path(folder) / "answers.jsonl"
        part = answers.with_name("answers.jsonl.part")
        texts = [f"a red star above {number} rings" for number in range(lines)]
        questions.write_text(
            "".join(json.dumps({"id": place, "text": text}) + "\n" for place, text in enumerate(texts))
        )
        command = [sys.executable, "-m", "dafsn_client", "encode", f"--input={questions}", f"--out={answers}"]
        command += [f"--target={process.target}", f"--model={NAME}", "--retries=1", "--max-rows=16"]
        try:
            job = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            while job.poll() is None and not (part.exists() and part.read_bytes().count(b"\n") > lines // 4):
                time.sleep(0.02)
            process.kill()
            code = job.wait(60)
            acknowledged = part.read_bytes().splitlines(keepends=True)
            process.start()
            subprocess.run(command, stderr=subprocess.DEVNULL, check=True, timeout=300)
            found = answers.read_bytes().splitlines(keepends=True)
            with Client(process.target, NAME) as client:
                features = client.encode_text(texts).sentence_features
        finally:
            process.stop()
    told = [json.loads(line) for line in found]
    right = sum(
        answer["id"] == place and np.allclose(answer.get("features", np.nan), features[place], atol=1e-5)
        for place, answer in enumerate(told[:lines])
    )
    kept = [line for line in acknowledged if line.endswith(b"\n")]
    return {
        "job: lines asked": lines,
        "job: exit code when the server was killed": code,
        "job: answers in the file then": len(kept),
        "job: of these lost or changed": sum(line != now for line, now in zip(kept, found, strict=False)),
        "job: lines after going on": len(found),
        "job: lines with the right answer in their place": right,
    }
