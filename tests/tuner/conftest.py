import pytest

from dafsn_tf.config import load_config
from dafsn_tf.data.prepare import prepare

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
def data(tmp_path_factory):
    """Forty scenes, without a test split: whoever wants to read it fails."""
    from dafsn_tf.data.sources import shapes

    folder = tmp_path_factory.mktemp("tuner") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes.read, "__defaults__", (0, {"train": 40, "validation": 10, "test": 12}))
        prepare("shapes", None, folder)
    for shard in folder.glob("test-*"):
        shard.unlink()
    return folder
