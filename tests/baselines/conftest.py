import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

COLOURS = {"red": (220, 40, 30), "green": (40, 200, 60), "blue": (40, 60, 220)}
WORDS_A_TEXT = 6
WIDTHS = {"mixed7": 768, "mixed8": 1280, "mixed9": 2048, "mixed10": 2048}  # channels of Inception-v3


@pytest.fixture(scope="session")
def toy_split():
    """Makes a `Split` of noise with a class and a colour in it: `toy_split("train", images=60, documents=True)`.

    The classes' directions are the same for every call, so splits belong together.
    """
    from dafsn_tf.baselines.inputs import Split
    from dafsn_tf.config import load_config
    from dafsn_tf.data.features import FrozenFeatures
    from dafsn_tf.data.manifest import Manifest, SplitInfo
    from dafsn_tf.data.records import RecordSplit
    from dafsn_tf.evaluation.protocols import Collection
    from dafsn_tf.layers.feature_standardizer import FeatureStandardizer

    prototypes = np.random.default_rng(7).normal(size=(7, 12)).astype("float32")  # 3 classes, 4 colours

    def make(name, images=60, documents=True, variants=1):
        random = np.random.default_rng(["train", "validation", "test"].index(name))
        classes, colours = np.arange(images) % 3, random.integers(0, 4, images)
        meaning = (prototypes[classes] + prototypes[3 + colours])[:, None]
        vectors = meaning + 0.3 * random.normal(size=(images, variants, 12))
        regions = np.maximum(meaning[:, :, None] + 0.3 * random.normal(size=(images, variants, 4, 12)), 0)
        word_ids = np.zeros((2 * images, WORDS_A_TEXT + 2), np.int32)
        for text, image in enumerate(np.repeat(np.arange(images), 2)):
            words = [3 + 3 * classes[image] + random.integers(3), 12 + 2 * colours[image] + random.integers(2)]
            words += [*random.integers(20, 26, random.integers(1, WORDS_A_TEXT - 1)).tolist(), 1]
            word_ids[text, : len(words)] = words
        labels = np.eye(3, dtype="float32")[classes]
        standardizer = FeatureStandardizer()
        standardizer.adapt([regions])
        return Split(
            data=None,
            config=load_config("default", ["text.oov_buckets=2", "text.embeddings=none"]),
            records=RecordSplit(
                Manifest("toy", "jsonl", 0, documents, ("a", "b", "c"), {name: SplitInfo(images, 2 * images)}),
                name,
                [str(image) for image in range(images)],
                [("one", "two")] * images,
                labels,
                [],
                [],
                [],
                [],
            ),
            features=FrozenFeatures(regions.astype("float16"), vectors.astype("float16")),
            image_vectors=vectors.astype("float32"),
            region_standardizer=standardizer,
            word_ids=word_ids,
            known_word_ids=word_ids,
            vocabulary=[f"word{number}" for number in range(23)],
            added_words=[],
            collection=Collection(np.repeat(np.arange(images), 2), labels, documents),
        )

    return make


class ColourBackbone:
    """Stands in for Inception-v3: the mean colour, repeated to as many channels as the network has."""

    grid, region_channels = 1, 768

    def __init__(self, config):
        self.global_widths = tuple(WIDTHS[layer] for layer in config.global_layer.split("+"))
        self.global_channels = sum(self.global_widths)

    def fingerprint(self):
        return "c" * 64

    def encode(self, images):
        import tensorflow as tf

        colours = tf.tile(tf.reduce_mean(images, axis=(1, 2)) + 1, (1, 700))
        return {"regions": colours[:, None, : self.region_channels], "global": colours[:, : self.global_channels]}


@pytest.fixture(scope="module")
def colour_backbone():
    """Puts `ColourBackbone` wherever a backbone is loaded."""
    import dafsn_tf.baselines.inputs
    import dafsn_tf.runs
    import dafsn_tf.training

    with pytest.MonkeyPatch.context() as patch:
        for module in (dafsn_tf.baselines.inputs, dafsn_tf.runs, dafsn_tf.training):
            patch.setattr(module, "load_backbone", ColourBackbone)
        yield


@pytest.fixture(scope="module")
def config():
    """DAFSN at toy size."""
    from dafsn_tf.config import load_config

    sizes = ["image.image_size=75", "image.region_grid=1", "model.dim=8", "text.embedding_dim=8"]
    sizes += ["discriminator.hidden_dim=8", "training.batch_size=8", "training.epochs=1", "training.min_steps=0"]
    return load_config("default", [*sizes, "text.embeddings=none"])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Prepares a collection of coloured pictures: `prepared(labels=True, documents=True, seed=0)`.

    `only_class` is the one that training pictures are labelled with, the others not at all.
    """
    from dafsn_tf.data.prepare import prepare

    def make(labels=True, documents=True, seed=0, only_class=None):
        folder = tmp_path_factory.mktemp("colours")
        source = folder / "colours"
        source.mkdir()
        random, lines = np.random.default_rng(seed), []
        for number in range(30):
            name, split = list(COLOURS)[number % 3], ("train", "train", "train", "validation", "test")[number // 3 % 5]
            pixels = np.array(COLOURS[name]) + random.integers(-30, 30, (16, 16, 3))
            Image.fromarray(np.clip(pixels, 0, 255).astype("uint8")).save(source / f"{number}.png")
            texts = [f"a {name} thing", f"number {number} is {name}"]
            labelled = labels and (split != "train" or only_class in (None, name))
            lines.append(
                {"image": f"{number}.png", "texts": texts, "split": split, **({"label": name} if labelled else {})}
            )
        (source / "items.jsonl").write_text("\n".join(map(json.dumps, lines)))
        prepare("jsonl", source, folder / "data", documents=documents)
        return folder / "data"

    return make


@pytest.fixture(scope="session")
def small():
    """Returns a method at toy size: two settings, few dimensions, few epochs."""

    def make(method, **changes):
        names = {field.name for field in dataclasses.fields(method.grid[0])}
        sizes = {
            "components": 10,
            "dim": 16,
            "embedding_dim": 8,
            "hidden": 16,
            "image_hidden": 16,
            "text_hidden": 16,
            "batch_size": 20,
            "epochs": 2,
            "min_steps": 0,
            **changes,
        }
        chosen = {name: value for name, value in sizes.items() if name in names}
        return dataclasses.replace(
            method, grid=tuple(dataclasses.replace(settings, **chosen) for settings in method.grid[-2:])
        )

    return make
