"""Serving under trouble and under load: figures of an export behind the embedded server.

    python benchmarks/serving.py EXPORT [--only NAME ...] [--out benchmarks/runs/serving.json]

EXPORT is a model's folder, such as `make demo` leaves in demo/saved_models/dafsn. Each scenario prints its figures; the
tests run the same functions at a smaller size.
"""

import argparse
import io
import json
import os
import platform
import random
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from PIL import Image

from dafsn_client import Client, ServerError, protocol, tensors
from dafsn_client.errors import ROW_STATUS

Figures = dict[str, float | int | str]
NAME = "dafsn"


# A server in a process of its own


class ServerProcess:
    """The embedded server over an export, to be killed and started again at the same port."""

    def __init__(self, models: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.target = f"127.0.0.1:{self.port}"
        self._command = [
            sys.executable,
            "-m",
            "dafsn_server",
            f"--model={NAME}={models}",
            f"--port={self.port}",
            *options,
        ]
        self.process: Any = None

    def start(self) -> None:
        """Start, and return when requests are answered."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if not self.process.stdout.readline().startswith(b"listening on"):
            raise RuntimeError(f"the server did not start: {' '.join(self._command)}")

    def kill(self) -> None:
        """Kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self) -> None:
        """End it as an operator would."""
        self.process.terminate()
        self.process.wait(30)
        self.process.stdout.close()

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        return resident_megabytes(self.process.pid)


def resident_megabytes(pid: int) -> float:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has no memory")


@contextmanager
def server(models: Path, *options: str) -> Iterator[ServerProcess]:
    """Yield a running server; end it with the block."""
    process = ServerProcess(models, *options)
    process.start()
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.stop()


# Hostile inputs


def pictures(generator: random.Random) -> dict[str, bytes]:
    """Return one small picture of every format, by name; some of them no server reads."""
    noise = np.random.default_rng(generator.randrange(2**32)).integers(0, 256, (33, 47, 4), "uint8")
    kinds = {
        "jpeg": ("JPEG", "RGB", {}),
        "progressive": ("JPEG", "RGB", {"progressive": True}),
        "cmyk": ("JPEG", "CMYK", {}),
        "png": ("PNG", "RGBA", {}),
        "png-gray": ("PNG", "L", {}),
        "png-palette": ("PNG", "P", {}),
        "gif": ("GIF", "P", {}),
        "bmp": ("BMP", "RGB", {}),
        "webp": ("WEBP", "RGB", {}),
        "webp-lossless": ("WEBP", "RGBA", {"lossless": True}),
        "tiff": ("TIFF", "RGB", {}),
        "ppm": ("PPM", "RGB", {}),
        "ico": ("ICO", "RGBA", {}),
    }
    made = {name: _encoded(Image.fromarray(noise), *kind) for name, kind in kinds.items()}
    frames = [Image.fromarray(np.roll(noise[..., :3], shift, 0)) for shift in range(3)]
    for name in ("GIF", "WEBP", "PNG"):
        stream = io.BytesIO()
        frames[0].save(stream, name, save_all=True, append_images=frames[1:])
        made[f"animated-{name.lower()}"] = stream.getvalue()
    return made


def _encoded(image: Image.Image, kind: str, mode: str, options: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    (image.convert("RGB").convert(mode) if mode in ("CMYK", "P", "L") else image.convert(mode)).save(
        stream, kind, **options
    )
    return stream.getvalue()


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few kilobytes that declares, and holds, width x height black pixels of one bit."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = zlib.compressobj(9)
    row = b"\0" + bytes((width + 7) // 8)
    content = b"".join(rows.compress(row) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def mutated(data: bytes, generator: random.Random) -> bytes:
    """Return data cut, overwritten, stretched or shuffled somewhere."""
    changed = bytearray(data)
    for _ in range(generator.randint(1, 4)):
        place = generator.randrange(len(changed) or 1)
        kind = generator.randrange(6)
        if kind == 0:
            del changed[place:]
        elif kind == 1:
            changed[place : place + 1] = generator.randbytes(1)
        elif kind == 2:
            changed[place:place] = generator.randbytes(generator.randint(1, 64))
        elif kind == 3:
            length = generator.randint(1, 32)
            changed[place : place + length] = b"\xff" * length
        elif kind == 4:
            place = generator.randrange(min(40, len(changed) or 1))  # the header, where sizes stand
            changed[place : place + 4] = generator.randbytes(4)
        else:
            del changed[place : place + generator.randint(1, 64)]
    return bytes(changed)


def hostile_text(generator: random.Random) -> bytes:
    """Return a text of any bytes."""
    kind = generator.randrange(5)
    if kind == 0:
        return generator.randbytes(generator.randint(0, 200))
    if kind == 1:
        return "".join(chr(generator.randrange(0x110000)) for _ in range(50)).encode("utf-8", "surrogatepass")
    if kind == 2:
        return b"word " * generator.randint(1, 50_000)
    if kind == 3:
        return "e\u0301\u0300\u200d\u202e\ufeff\0".encode() * generator.randint(1, 500)
    return b"\0" * generator.randint(1, 1000)


def hostile_requests(count: int, seed: int = 0) -> Iterator[tuple[str, Any, set[str]]]:
    """Yield (kind, PredictRequest, codes that are right) of `count` requests; "OK" must come with a status a row."""
    generator = random.Random(seed)
    good = pictures(generator)
    large = bomb(20_000, 20_000)
    for number in range(count):
        kind = generator.choices(
            ["image", "text", "pair", "random", "bomb", "dtype", "shape", "names", "signature", "gigabyte"],
            [40, 20, 10, 8, 2, 5, 5, 5, 3, 2],
        )[0]
        image = mutated(good[generator.choice(list(good))], generator)
        text = hostile_text(generator)
        answered, refused = {"OK"}, {"INVALID_ARGUMENT"}
        if kind == "image":
            yield kind, request("encode_image", images=[image, good["png"]]), answered
        elif kind == "text":
            yield kind, request(generator.choice(["encode_text", "search"]), texts=[text, b"a star"]), answered
        elif kind == "pair":
            yield kind, request("similarity", texts=[text, b"a star"], images=[good["jpeg"], image]), answered
        elif kind == "random":
            data = generator.randbytes(generator.choice([0, 1, 12, 100, 5000]))
            yield kind, request("search_by_image", images=[data, good["webp"]]), answered
        elif kind == "bomb":
            yield kind, request("encode_image", images=[large, good["bmp"]]), answered
        elif kind == "dtype":
            value = generator.choice([np.zeros(2, np.float32), np.zeros(2, np.int64), np.zeros(2, bool)])
            yield kind, request("encode_text", texts=value), refused
        elif kind == "shape":
            value: Any = generator.choice([b"a scalar", [[b"rank"], [b"two"]], [[[b"rank three"]]]])
            yield kind, request("encode_text", texts=value), refused
        elif kind == "names":
            named = {"".join(generator.choices("abc\u00fc ", k=5)): [b"a"]}
            yield kind, request("encode_text", **named), refused
        elif kind == "signature":
            yield kind, request(f"nothing-{number}", texts=[b"a"]), {"FAILED_PRECONDITION"}
        else:
            tensor = protocol.TensorProto(dtype=tensors.STRING)
            tensor.tensor_shape.dim.add(size=2**28)
            asked = request("encode_text")
            asked.inputs["texts"].CopyFrom(tensor)
            yield kind, asked, refused


def request(signature: str, **inputs: Any) -> Any:
    """Return a PredictRequest."""
    asked = protocol.PredictRequest(model_spec=protocol.ModelSpec(name=NAME, signature_name=signature))
    for name, value in inputs.items():
        asked.inputs[name].CopyFrom(tensors.to_proto(value, name))
    return asked


def hostile(models: Path, count: int = 1000) -> Figures:
    """Send hostile requests; the server must live, answer each as it should, and give its memory back."""
    wrong: list[str] = []
    codes: Counter[str] = Counter()
    with server(models) as running, grpc.insecure_channel(running.target) as channel:
        predict = _stub(channel)
        for kind, asked, _ in hostile_requests(count // 5, seed=1):  # the level that memory should return to
            if kind != "bomb":
                _code(predict, asked)
        before = running.megabytes
        for number, (kind, asked, right) in enumerate(hostile_requests(count)):
            code, answer = _code(predict, asked)
            codes[code] += 1
            if code not in right or (answer is not None and not _well_formed(answer)):
                wrong.append(f"request {number} ({kind}): {code}")
        lives = running.process.poll() is None
        after = running.megabytes
    return {
        "requests": count,
        "wrong answers": len(wrong),
        "first wrong": wrong[0] if wrong else "none",
        "answered with a row status": codes["OK"],
        "refused with a typed error": sum(codes.values()) - codes["OK"],
        "server lives": int(lives),
        "memory before, MB": round(before),
        "memory after, MB": round(after),
    }


def _stub(channel: grpc.Channel) -> Any:
    return channel.unary_unary(
        "/tensorflow.serving.PredictionService/Predict",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=protocol.PredictResponse.FromString,
    )


def _code(predict: Any, asked: Any) -> tuple[str, Any]:
    try:
        return "OK", predict(asked, timeout=60)
    except grpc.RpcError as error:
        return error.code().name, None  # type: ignore[attr-defined]


def _well_formed(answer: Any) -> bool:
    """Return whether the second row is answered and every number is finite."""
    outputs = {name: tensors.from_proto(tensor) for name, tensor in answer.outputs.items()}
    known = all(int(status) in (0, *ROW_STATUS) for status in outputs["status"])
    finite = all(np.isfinite(values).all() for values in outputs.values() if values.dtype.kind == "f")
    return known and finite and {len(values) for values in outputs.values()} == {2}


# Hot swap, kill -9


def hot_swap(requests: int = 10_000, callers: int = 8) -> Figures:
    """Exchange three versions under load, of `requests` and more; no request may fail, no answer may mix two versions.

    The versions are the tests' toy model, whose outputs all grow with the version's scale: each answer must be, in
    every part, that of the version it names.
    """
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "serving"))
    from toy_model import write_version

    scales = {number: float(number) for number in (1, 2, 3, 4)}
    lock, exchanged = threading.Lock(), threading.Event()
    failures: list[str] = []
    versions: Counter[int] = Counter()
    mixed = 0

    def load() -> None:
        nonlocal mixed
        with grpc.insecure_channel(running.target) as channel:
            predict = _stub(channel)
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


# Speed

_FIRST_ANSWER = """
import time; started = time.perf_counter()
from dafsn_client import Client
with Client({target!r}, {name!r}) as client:
    client.search(["a red star"])
    seconds = time.perf_counter() - started
import sys, pathlib
status = pathlib.Path("/proc/self/status").read_text().split()
print(seconds, int(status[status.index("VmHWM:") + 1]) / 1024, "tensorflow" in sys.modules)
"""


def first_answer(models: Path, times: int = 5) -> Figures:
    """Measure a fresh client process from its first import to its first answer."""
    with server(models) as running:
        script = _FIRST_ANSWER.format(target=running.target, name=NAME)
        runs = []
        for _ in range(times):
            output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
            seconds, megabytes, tensorflow = output.split()
            runs.append((float(seconds), float(megabytes), tensorflow == "True"))
    return {
        "first answer, s (median)": round(statistics.median(run[0] for run in runs), 3),
        "peak memory, MB": round(max(run[1] for run in runs), 1),
        "TensorFlow loaded": int(any(run[2] for run in runs)),
    }


def decoding(times: int = 200) -> Figures:
    """Measure the decoding of 256 x 512 floats that a server sent as float_val."""
    values = np.random.default_rng(0).random((256, 512), np.float32)
    answer = protocol.PredictResponse()
    tensor = answer.outputs["x"]
    tensor.dtype = 1
    for size in values.shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.float_val.append(values.tobytes())
    response = protocol.PredictResponse.FromString(answer.SerializeToString())
    durations = []
    for _ in range(times):
        started = time.perf_counter()
        array = tensors.from_proto(response.outputs["x"])
        durations.append(time.perf_counter() - started)
    assert (array == values).all()
    return {"256 x 512 floats, ms (median)": round(1000 * statistics.median(durations), 4)}


def overhead(models: Path, calls: int = 500) -> Figures:
    """Measure the client against a bare stub, and the embedded server against its session in this process."""
    import tensorflow_text as _  # noqa: F401  registers the ops of exported tokenisers

    from dafsn_server.model import LoadedModel

    newest = max((path for path in models.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
    loaded = LoadedModel(newest)
    signature = loaded.signatures["encode_text"]
    feeds = {signature.inputs["texts"].name: np.array([b"a red star"], object)}
    fetches = [signature.outputs[name].name for name in sorted(signature.outputs)]
    asked = request("encode_text", texts=["a red star"])
    with (
        server(models) as running,
        grpc.insecure_channel(running.target) as channel,
        Client(running.target, NAME) as client,
    ):
        stub = _stub(channel)
        ways = {
            "session": lambda: loaded.run(feeds, fetches),
            "stub": lambda: stub(asked, timeout=30),
            "client": lambda: client.encode_text(["a red star"]),
        }
        durations: dict[str, list[float]] = {name: [] for name in ways}
        for call in range(calls + 20):  # in turns, so that all three meet the same machine
            for name, ask in ways.items():
                started = time.perf_counter()
                ask()
                if call >= 20:
                    durations[name].append(time.perf_counter() - started)
    loaded.close()
    median = {name: 1000 * statistics.median(values) for name, values in durations.items()}
    return {
        "session in process, ms": round(median["session"], 3),
        "bare stub, ms": round(median["stub"], 3),
        "client, ms": round(median["client"], 3),
        "client over stub": round(median["client"] / median["stub"], 2),
        "server over session, ms": round(median["stub"] - median["session"], 3),
    }


def throughput(models: Path, seconds: float = 8.0, callers: int = 16) -> Figures:
    """Measure requests a second, of one text each, with batching and without."""
    figures: Figures = {"callers": callers}
    with tempfile.TemporaryDirectory() as folder:
        batching = Path(folder) / "batching.config"
        batching.write_text(
            "max_batch_size { value: 32 } batch_timeout_micros { value: 1000 }\n"
            "max_enqueued_batches { value: 100 } num_batch_threads { value: 2 }\n"
        )
        for name, options in (("off", ()), ("on", (f"--batching-parameters-file={batching}",))):
            with server(models, *options) as running:
                figures[f"requests a second, batching {name}"] = round(_rate(running.target, seconds, callers))
    figures["on over off"] = round(
        float(figures["requests a second, batching on"]) / float(figures["requests a second, batching off"]), 2
    )
    return figures


def _rate(target: str, seconds: float, callers: int) -> float:
    counts = [0] * callers
    over = threading.Event()

    def load(place: int) -> None:
        with grpc.insecure_channel(target) as channel:
            predict = _stub(channel)
            asked = request("encode_text", texts=["a red star above a ring"])
            while not over.is_set():
                predict(asked, timeout=30)
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


SCENARIOS = {
    "hot swap": lambda models: hot_swap(),
    "hostile inputs": hostile,
    "kill -9": kill,
    "first answer": first_answer,
    "decoding": lambda models: decoding(),
    "overhead": overhead,
    "throughput": throughput,
}


def main() -> None:
    """Run scenarios and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path, help="a model's folder of version folders")
    parser.add_argument("--only", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument("--out", type=Path, help="run file to write")
    options = parser.parse_args()
    started = time.monotonic()
    found: dict[str, Figures] = {}
    for name in options.only:
        print(name, flush=True)
        found[name] = SCENARIOS[name](options.export)
        for what, figure in found[name].items():
            print(f"  {what}: {figure}", flush=True)
    if options.out:
        here = Path(__file__).parent
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True, cwd=here
        ).stdout.strip()
        run = {
            "name": "serving",
            "command": f"python benchmarks/serving.py {options.export}",
            "seconds": round(time.monotonic() - started, 1),
            "machine": f"{os.cpu_count()} cores, {platform.machine()}",
            "commit": commit,
            "scenarios": found,
        }
        options.out.write_text(json.dumps(run, indent=1) + "\n")


if __name__ == "__main__":
    main()
