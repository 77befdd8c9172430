"""Serving under trouble and under load: figures of an export behind the embedded server.

    python benchmarks/serving.py EXPORT [--only NAME ...] [--out benchmarks/runs/serving.json]

EXPORT is a model's folder, such as `make demo` leaves in demo/saved_models/dafsn; the run and the collection it was
made of are then demo/run and demo/data, elsewhere --run and --data. Each scenario prints its figures; the tests run the
same functions at a smaller size.
"""

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from scenarios.agreement import session_against_process
from scenarios.embedded_server import Figures
from scenarios.first_answer import decoding, first_answer
from scenarios.hostile import hostile
from scenarios.interruptions import hot_swap, kill, killed_job
from scenarios.throughput import overhead, throughput

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
