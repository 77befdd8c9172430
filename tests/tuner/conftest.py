import shutil

import pytest

from dafsn_tf.config import load_config

TINY = [
    "image.image_size=32",
    "model.dim=16",
    "text.embedding_dim=8",
    "training.batch_size=8",
    "training.epochs=2",
    "discriminator.hidden_dim=8",
]


@pytest.fixture(scope="session")
def tiny():
    """Settings that make a training of the preset `shapes` one of seconds."""
    return TINY


@pytest.fixture(scope="session")
def config():
    return load_config("shapes", TINY)


@pytest.fixture(scope="session")
def data(shapes_data, tmp_path_factory):
    """Forty scenes, without a test split: whoever wants to read it fails."""
    folder = tmp_path_factory.mktemp("tuner") / "data"
    shutil.copytree(shapes_data, folder, ignore=shutil.ignore_patterns("test-*"))
    return folder
