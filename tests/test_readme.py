"""The README's blocks, run as they stand at toy size: only sizes, the server's port and a file of weights are added."""

import contextlib
import json
import os
import re
import runpy
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import pytest

from dafsn_tf import config as configurations
from dafsn_tf.data.sources import shapes
from dafsn_tf.demo import run_demo

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
SMALL = ["image.image_size=75", "model.dim=16", "text.embedding_dim=100", "training.epochs=1"]
SMALL_SHAPES = [*SMALL, "image.image_size=32", "training.batch_size=8"]


def block(language, part):
    (found,) = [text for kind, text in BLOCKS if kind == language and part in text]
    return found


def free_port():
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return chosen.getsockname()[1]


def run(arguments, **options):
    finished = subprocess.run(arguments, capture_output=True, text=True, timeout=900, **options)
    assert finished.returncode == 0, f"{shlex.join(arguments)}\n{finished.stdout}\n{finished.stderr}"
    return finished.stdout


@contextlib.contextmanager
def in_background(arguments, port, **options):
    """Keep a server's command running for as long as the block lasts; end it as a user would."""
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, **options)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, process.stderr.read()
            time.sleep(1)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Commands found as after `make install`, and a file of weights (random) in the place of a download."""
    weights = tmp_path_factory.mktemp("weights") / "random.weights.h5"
    options = {"include_top": False, "weights": None, "input_shape": (75, 75, 3)}
    keras.applications.InceptionV3(**options).save_weights(weights)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "DAFSN_INCEPTION_WEIGHTS": str(weights)}


@pytest.fixture
def few_scenes(monkeypatch):
    monkeypatch.setattr(shapes.read, "__defaults__", (0, {"train": 24, "validation": 8, "test": 9}))


def test_a_collection_of_ones_own_over_grpc(environment, jsonl_source, picture, tmp_path, monkeypatch):
    example = json.loads(block("json", '"image"'))
    assert set(example) == {"image", "texts", "label", "split"}
    jsonl_source([example, *({"image": f"{n}.png", "texts": [f"picture number {n}"]} for n in range(20))], "pictures")
    picture(7).save(tmp_path / "photo.jpg")
    port = free_port()
    added = {
        "train": [word for size in SMALL for word in ("--set", size)],
        "serve": ["--port", str(port), "--engine", "embedded"],
        **{name: ["--target", f"127.0.0.1:{port}"] for name in ("wait", "query")},
    }
    options = {"cwd": tmp_path, "env": environment}
    said = {}
    with contextlib.ExitStack() as ends:
        lines = (block("sh", "dafsn prepare jsonl") + block("sh", "dafsn-client wait")).splitlines()
        for line in lines:
            program, name, *arguments = shlex.split(line)
            command = [program, name, *arguments, *added.get(name, [])]
            if name == "serve":
                ends.enter_context(in_background(command, port, **options))
            else:
                said[line] = run(command, **options)
        asked = [text for line, text in said.items() if line.startswith("dafsn query")]
        assert len(asked) == 2
        assert all(asked)
        assert json.loads((tmp_path / "runs/mine/evaluation.json").read_text())["split"] == "test"

        (tmp_path / "photographs").mkdir()
        picture(8).save(tmp_path / "photographs" / "new.jpg")
        (tmp_path / "questions.jsonl").write_text('{"text": "a picture"}\n')
        for line in block("sh", "dafsn-client encode").splitlines():
            command = [*shlex.split(line, comments=True), "--target", f"127.0.0.1:{port}", "--model", "mine"]
            run(command, **options)
        for name in ("answers.jsonl", "features.jsonl"):
            assert len((tmp_path / name).read_text().splitlines()) == 1

        monkeypatch.chdir(tmp_path)
        with contextlib.redirect_stdout((tmp_path / "hits.txt").open("w")) as hits, hits:
            exec(block("python", "from dafsn_client").replace("127.0.0.1:8500", f"127.0.0.1:{port}"), {})
        assert "picture number" in (tmp_path / "hits.txt").read_text()


@pytest.mark.data
def test_photographs_at_once(environment, shared_data, tmp_path):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for path in sorted((shared_data / "pascal_sentence" / "dataset" / "dog").iterdir())[:3]:
        (photographs / path.name).symlink_to(path)
    weights = shared_data / "inception_v3" / "inception_v3_notop_float16.h5"
    command = [*shlex.split(block("sh", "--images")), "--weights", str(weights)]
    answers = run(command, cwd=tmp_path, env=environment)
    assert answers.count(".jpg") == 6
    assert {"found.png", "attention-1.png", "attention-2.png"} == {
        path.name for path in (tmp_path / "demo" / "found").iterdir()
    }


def test_in_python(few_scenes, tmp_path, monkeypatch, picture, capsys):
    complete = configurations.load_config
    sizes = {"shapes": SMALL_SHAPES}
    monkeypatch.setattr(configurations, "load_config", lambda name: complete(name, sizes.get(name, ())))
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(block("python", "evaluate_run("), names)
    assert names["figures"]["num_images"] == 9
    (tmp_path / "photographs").mkdir()
    for number in range(3):
        picture(number).save(tmp_path / "photographs" / f"{number}.png")
    exec(block("python", "PictureFolder("), names)
    assert sorted(line.split()[1] for line in capsys.readouterr().out.splitlines()[-3:]) == [
        f"photographs/{number}.png" for number in range(3)
    ]


def test_the_demo(few_scenes, tmp_path):
    assert block("sh", "make demo")
    said, answered = [], []
    config = configurations.load_config("shapes", SMALL_SHAPES)
    run_demo(tmp_path / "demo", config, write=said.append, answer=answered.append)
    text = (ROOT / "README.md").read_text()
    for name in ("evaluation.json", "attention.json", "pictures", "saved_models/dafsn/1"):
        assert f"demo/{name}" in text
        assert (tmp_path / "demo" / name).exists()
    renew = runpy.run_path(str(ROOT / "docs" / "pictures" / "renew.py"))["renew"]
    renew(tmp_path / "demo" / "pictures", tmp_path)  # the README's pictures are the demo's
    for name in re.findall(r'src="docs/pictures/([^"]+)"', text):
        assert (tmp_path / name).exists()
    assert "answers over gRPC:" in answered
    assert "done; everything is in" in said[-1]
