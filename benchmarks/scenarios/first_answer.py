"""What the client takes: time to the first answer, memory, disk, decoding."""

import re
import statistics
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np

from dafsn_client import protocol, tensors
from scenarios.embedded_server import NAME, Figures, server

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
