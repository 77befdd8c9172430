"""Hostile requests: the server lives, answers each as it should, and gives its memory back."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from dafsn_client import tensors
from scenarios.embedded_server import Figures, server, stub
from scenarios.hostile_inputs import hostile_requests


def hostile(models: Path, count: int = 1000) -> Figures:
    """Send hostile requests; the server must live, answer each as it should, and give its memory back."""
    wrong: list[str] = []
    codes: Counter[str] = Counter()
    slowest = 0.0
    with server(models) as running, grpc.insecure_channel(running.target) as channel:
        predict = stub(channel)
        for kind, asked, _ in hostile_requests(count // 5, seed=1):  # the level that memory should return to
            if kind != "bomb":
                _code(predict, asked)
        before = running.megabytes
        for number, (kind, asked, right) in enumerate(hostile_requests(count)):
            started = time.monotonic()
            code, answer = _code(predict, asked)
            slowest = max(slowest, time.monotonic() - started)
            codes[code] += 1
            if not is_right(code, answer, right):
                wrong.append(f"request {number} ({kind}): {code}, expected {right}")
        lives = running.process.poll() is None
        after = running.megabytes
    return {
        "requests": count,
        "wrong answers": len(wrong),
        "first wrong": wrong[0] if wrong else "none",
        "answered with a row status": codes["OK"],
        "refused with a typed error": sum(codes.values()) - codes["OK"],
        "slowest answer, s": round(slowest, 2),
        "server lives": int(lives),
        "memory before, MB": round(before),
        "memory after, MB": round(after),
    }


def _code(predict: Any, asked: Any) -> tuple[str, Any]:
    try:
        return "OK", predict(asked, timeout=60)
    except grpc.RpcError as error:
        return error.code().name, None  # type: ignore[attr-defined]


def is_right(code: str, answer: Any, right: str | list[set[int]]) -> bool:
    """Return whether a request ended as `hostile_requests` says.

    A row with a status holds zeros and empty strings alone; one without holds more, and nothing that is not finite.
    """
    if isinstance(right, str):
        return code == right
    if code != "OK":
        return False
    outputs = {name: tensors.from_proto(tensor) for name, tensor in answer.outputs.items()}
    statuses = outputs.pop("status").tolist()
    if any(len(values) != len(right) for values in (statuses, *outputs.values())):
        return False
    finite = all(np.isfinite(values).all() for values in outputs.values() if values.dtype.kind == "f")
    holds = [any(values[row].astype(bool).any() for values in outputs.values()) for row in range(len(right))]
    known = all(status in allowed for status, allowed in zip(statuses, right, strict=True))
    return finite and known and holds == [status == 0 for status in statuses]
