"""Serving under trouble and under load: figures of an export behind the embedded server.

    python benchmarks/serving.py EXPORT [--only NAME ...] [--out benchmarks/runs/serving.json]

EXPORT is a model's folder, such as `make demo` leaves in demo/saved_models/dafsn; the run and the collection it was
made of are then demo/run and demo/data, elsewhere --run and --data. Each scenario prints its figures; the tests run the
same functions at a smaller size.
"""

import argparse
import functools
import io
import json
import os
import platform
import random
import re
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
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from PIL import Image

from dafsn_client import Client, ServerError, protocol, tensors

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
    return _saved(
        image.convert("RGB").convert(mode) if mode in ("CMYK", "P", "L") else image.convert(mode), kind, options
    )


def _saved(image: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@functools.cache
def bombs() -> dict[str, tuple[bytes, int]]:
    """Return small files that would expand to gigabytes, or keep a decoder busy for minutes, and the right status."""
    large, small = (_saved(Image.new("P", (side, side)), "GIF", {}) for side in (9000, 9))
    frame = large[large.index(b",\0\0\0\0") : -1]
    canvas = _saved(
        Image.new("RGB", (900, 900)), "WEBP", {"lossless": True, "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0"}
    )
    jpeg = _saved(Image.new("L", (7000, 7000)), "JPEG", {"progressive": True})
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    png = _saved(Image.new("RGB", (8, 8)), "PNG", {})
    text = _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(7_000_000), 9))
    return {
        "png of 20000 x 20000": (_black_png(20_000, 20_000), 12),
        "gif of 9000 x 9000, its screen 1 x 1": (large[:6] + struct.pack("<HH", 1, 1) + large[10:], 12),
        "gif of 9 x 9, then 20 frames of 9000 x 9000": (small[:-1] + 20 * frame + b";", 0),
        "webp of 16384 x 16384": (canvas[:24] + 2 * (16383).to_bytes(3, "little") + canvas[30:], 12),
        "webp of 900 x 900, its canvas 1 x 1": (canvas[:24] + bytes(6) + canvas[30:], 14),
        "jpeg of 7000 x 7000 and 1000 scans": (jpeg[:-2] + 1000 * scan + jpeg[-2:], 14),
        "png of 8 x 8 and 300 texts of 7 MB": (png[:33] + 300 * text + png[33:], 14),
    }


def _black_png(width: int, height: int) -> bytes:
    rows = zlib.compressobj(9)
    row = b"\0" + bytes((width + 7) // 8)
    content = b"".join(rows.compress(row) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", content) + _chunk(b"IEND", b"")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


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


def hostile_text(generator: random.Random) -> tuple[bytes, set[int]]:
    """Return a text of any bytes, and the statuses that it may have."""
    kind = generator.randrange(6)
    if kind == 0:
        return generator.randbytes(generator.randint(0, 200)), {0, 1}
    if kind == 1:
        characters = (chr(generator.randrange(0x110000)) for _ in range(50))
        return "".join(characters).encode("utf-8", "surrogatepass"), {0, 1}
    if kind == 2:
        return b"word " * generator.randint(1, 50_000), {0}
    if kind == 3:
        return "e\u0301\u0300\u200d\u202e\ufeff\0".encode() * generator.randint(1, 500), {0}
    if kind == 4:
        return b"a " * generator.randint(1, 1_000_000), {0}
    return b"\0" * generator.randint(1, 1000), {1}


IMAGE_STATUSES = {0, 10, 11, 12, 13, 14}
UNREAD = {"tiff": 11, "ppm": 11, "ico": 11, "animated-webp": 13}  # formats of `pictures` that no server reads


def hostile_requests(count: int, seed: int = 0) -> Iterator[tuple[str, Any, str | list[set[int]]]]:
    """Yield (kind, PredictRequest, what is right) of `count` requests.

    Right is one gRPC code of an error, or for each row the statuses that it may have: of rows that nothing is wrong
    with, 0 alone.
    """
    generator = random.Random(seed)
    good = pictures(generator)
    explosive = list(bombs().values())
    kinds = {
        "image": 35, "unread": 5, "text": 20, "pair": 10, "random": 8, "bomb": 3, "dtype": 5, "shape": 5, "names": 5,
        "signature": 2, "gigabyte": 2,
    }  # fmt: skip
    for number in range(count):
        kind = generator.choices(list(kinds), list(kinds.values()))[0]
        image = mutated(good[generator.choice(list(good))], generator)
        text, text_statuses = hostile_text(generator)
        refused = "INVALID_ARGUMENT"
        if kind == "image":
            yield kind, request("encode_image", images=[image, good["png"]]), [IMAGE_STATUSES, {0}]
        elif kind == "unread":
            name = generator.choice(list(UNREAD))
            yield kind, request("search_by_image", images=[good["gif"], good[name]]), [{0}, {UNREAD[name]}]
        elif kind == "text":
            signature = generator.choice(["encode_text", "search"])
            yield kind, request(signature, texts=[text, b"a star"]), [text_statuses, {0}]
        elif kind == "pair":
            asked = request("similarity", texts=[text, b"a star"], images=[good["jpeg"], image])
            yield kind, asked, [text_statuses, IMAGE_STATUSES]
        elif kind == "random":
            data = generator.randbytes(generator.choice([0, 1, 12, 100, 5000]))
            yield kind, request("search_by_image", images=[data, good["webp"]]), [{11} if data else {10}, {0}]
        elif kind == "bomb":
            data, status = generator.choice(explosive)
            yield kind, request("encode_image", images=[data, good["bmp"]]), [{status}, {0}]
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
            yield kind, request(f"nothing-{number}", texts=[b"a"]), "FAILED_PRECONDITION"
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
    slowest = 0.0
    with server(models) as running, grpc.insecure_channel(running.target) as channel:
        predict = _stub(channel)
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


# Speed

_FIRST_ANSWER = """
import time; started = time.monotonic()
from dafsn_client import Client
with Client({target!r}, {name!r}) as client:
    client.search(["a red star"])
    answered = time.monotonic()
import sys, pathlib
status = pathlib.Path("/proc/self/status").read_text().split()
print(started, answered, int(status[status.index("VmHWM:") + 1]) / 1024, "tensorflow" in sys.modules)
"""


def first_answer(models: Path, times: int = 5) -> Figures:
    """Measure a fresh client process up to its first answer, and what the client takes on the disk."""
    with server(models) as running:
        script = _FIRST_ANSWER.format(target=running.target, name=NAME)
        runs = []
        for _ in range(times):
            begun = time.monotonic()  # one clock for all processes
            output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
            started, answered, megabytes, tensorflow = output.split()
            runs.append((float(answered) - begun, float(answered) - float(started), float(megabytes), tensorflow))
    return {
        "from the start of the interpreter, s (median)": round(statistics.median(run[0] for run in runs), 3),
        "from the first import, s (median)": round(statistics.median(run[1] for run in runs), 3),
        "peak memory, MB": round(max(run[2] for run in runs), 1),
        "TensorFlow loaded": int(any(run[3] == "True" for run in runs)),
        "installed, MB": round(sum(installed_megabytes().values()), 1),
        "of which": ", ".join(f"{name} {size:.1f}" for name, size in installed_megabytes().items()),
    }


def installed_megabytes() -> dict[str, float]:
    """Return the size of the files of the client and of each distribution that it needs, by name."""
    import dafsn_client

    package = Path(dafsn_client.__file__).parent  # it may be installed as a link to its sources
    sizes = {"dafsn-client": sum(path.stat().st_size for path in package.rglob("*") if "__pycache__" not in path.parts)}
    waiting = ["dafsn-client"]
    while waiting:
        for requirement in metadata.requires(waiting.pop()) or []:
            name = re.split(r"[^\w.-]", requirement)[0]
            if "extra ==" not in requirement and name not in sizes:
                files = [Path(str(file.locate())) for file in metadata.files(name) or []]
                sizes[name] = sum(file.stat().st_size for file in files if file.suffix != ".pyc" and file.is_file())
                waiting.append(name)
    return {name: size / 1e6 for name, size in sizes.items()}


def decoding(times: int = 200) -> Figures:
    """Measure 256 x 512 floats that a server sent as float_val: from the parsed answer, and from its bytes."""
    values = np.random.default_rng(0).random((256, 512), np.float32)
    answer = protocol.PredictResponse()
    tensor = answer.outputs["x"]
    tensor.dtype = 1
    for size in values.shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.float_val.append(values.tobytes())
    content = answer.SerializeToString()
    durations = []
    for _ in range(times):
        begun = time.perf_counter()
        response = protocol.PredictResponse.FromString(content)
        parsed = time.perf_counter()
        array = tensors.from_proto(response.outputs["x"])
        durations.append((parsed - begun, time.perf_counter() - parsed))
    assert (array == values).all()
    parsing, decoding = (1000 * statistics.median(column) for column in zip(*durations, strict=True))
    return {
        "256 x 512 floats from a parsed answer, ms (median)": round(decoding, 4),
        "parsing the answer's bytes before, ms (median)": round(parsing, 4),
    }


@contextmanager
def session(models: Path) -> Iterator[Callable[[str], Any]]:
    """Yield a function that encodes a text in the newest version's session in this process, as the server does."""
    import tensorflow_text as _  # noqa: F401  registers the ops of exported tokenisers

    from dafsn_server.model import LoadedModel

    loaded = LoadedModel(_newest(models))
    signature = loaded.signatures["encode_text"]
    fetches = [signature.outputs[name].name for name in sorted(signature.outputs)]
    try:
        yield lambda text: loaded.run({signature.inputs["texts"].name: np.array([text.encode()], object)}, fetches)
    finally:
        loaded.close()


def _newest(models: Path) -> Path:
    return max((path for path in models.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))


def overhead(models: Path, calls: int = 500) -> Figures:
    """Measure one caller's request: in a session in this process, by a bare stub, by the client."""
    asked = request("encode_text", texts=["a red star"])
    with (
        session(models) as in_process,
        server(models) as running,
        grpc.insecure_channel(running.target) as channel,
        Client(running.target, NAME) as client,
    ):
        stub = _stub(channel)
        ways = {
            "session": lambda: in_process("a red star"),
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
        predict = _stub(channel)
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


# Session against process


def session_against_process(models: Path, run: Path, data: Path) -> Figures:
    """Ask every signature of an export as the demo's in a TF1 session, and the model it was made of in Python."""
    from dafsn_tf.export import ExportOptions
    from dafsn_tf.export.verification import TOLERANCE, compare
    from dafsn_tf.export.version import served
    from dafsn_tf.runs import load_run

    _, endpoints = served(load_run(run), data, ExportOptions(split="test"))
    vocabulary = (run / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    _, differences = compare(_newest(models), endpoints, vocabulary)
    return {
        **{
            f"{signature}, max abs difference": max(
                found for name, found in differences.items() if name.startswith(f"{signature}.")
            )
            for signature in endpoints
        },
        "outputs compared": len(differences),
        f"above {TOLERANCE:g}": sum(difference > TOLERANCE for difference in differences.values()),
    }


SCENARIOS: dict[str, Callable[[argparse.Namespace], Figures]] = {
    "session against process": lambda options: session_against_process(options.export, options.run, options.data),
    "hot swap": lambda options: hot_swap(),
    "hostile inputs": lambda options: hostile(options.export),
    "kill -9": lambda options: {**kill(options.export), **killed_job(options.export)},
    "first answer": lambda options: first_answer(options.export),
    "decoding": lambda options: decoding(),
    "overhead": lambda options: overhead(options.export),
    "throughput": lambda options: throughput(options.export),
}


def main() -> None:
    """Run scenarios and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path, help="a model's folder of version folders")
    parser.add_argument("--run", type=Path, help="the run that was exported (default EXPORT/../../run)")
    parser.add_argument("--data", type=Path, help="the collection that was indexed along (default EXPORT/../../data)")
    parser.add_argument("--only", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument("--out", type=Path, help="run file to write")
    options = parser.parse_args()
    beside = options.export.absolute().parents[1]
    options.run, options.data = options.run or beside / "run", options.data or beside / "data"
    started = time.monotonic()
    found: dict[str, Figures] = {}
    for name in options.only:
        print(name, flush=True)
        found[name] = SCENARIOS[name](options)
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
