import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real collections and weights; tests that use it are marked `data`."""
    folder = Path(os.environ.get("DAFSN_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}; DAFSN_DATA names the folder of real collections")
    return folder


@pytest.fixture(scope="session")
def picture() -> Callable[..., Image.Image]:
    """Makes a picture of noise: `picture(seed, width, height)`."""

    def make(seed: int = 0, width: int = 24, height: int = 16) -> Image.Image:
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        return Image.fromarray(pixels)

    return make


@pytest.fixture
def jsonl_source(tmp_path: Path, picture: Callable[..., Image.Image]) -> Callable[..., Path]:
    """Writes a collection: `jsonl_source([{...}, "raw line"])`; dictionaries get their picture."""

    def write(lines: list, folder: str = "animals") -> Path:
        source = tmp_path / folder
        source.mkdir()
        for seed, line in enumerate(lines):
            if isinstance(line, dict):
                path = source / line["image"]
                path.parent.mkdir(parents=True, exist_ok=True)
                picture(seed).save(path)
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        (source / "items.jsonl").write_text(text + "\n", encoding="utf-8")
        return source

    return write


@pytest.fixture(scope="session")
def shapes_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty drawn scenes to train on, and some of the other splits."""
    from dafsn_tf.data.prepare import prepare
    from dafsn_tf.data.sources import shapes

    folder = tmp_path_factory.mktemp("shapes") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes.read, "__defaults__", (0, {"train": 40, "validation": 10, "test": 12}))
        prepare("shapes", None, folder)
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A few drawn scenes, and a run of one epoch on them, with an adversary: (data, run)."""
    from dafsn_tf.config import load_config
    from dafsn_tf.data.prepare import prepare
    from dafsn_tf.data.sources import shapes
    from dafsn_tf.runs import load_run
    from dafsn_tf.training import train

    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes.read, "__defaults__", (0, {"train": 24, "validation": 8, "test": 9}))
        prepare("shapes", None, folder / "data")
    sizes = ["image.image_size=32", "model.dim=16", "text.embedding_dim=8"]
    play = ["training.batch_size=8", "training.epochs=1", "loss.adversarial_weight=0.1"]
    config = load_config("shapes", [*sizes, *play])
    train(config, folder / "data", folder / "run", write=lambda line: None)
    return folder / "data", load_run(folder / "run")
