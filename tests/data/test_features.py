import dataclasses
import fcntl
import json
import threading

import numpy as np
import pytest

from dafsn_tf.config import ImageConfig
from dafsn_tf.data.features import cached_features
from dafsn_tf.data.prepare import prepare
from dafsn_tf.data.records import open_split
from dafsn_tf.errors import DataError

CONFIG = ImageConfig(image_size=75, region_grid=2)


class MeanBackbone:
    """Stands in for the network: quarters' mean colours and the whole's."""

    grid, region_channels, global_channels = 2, 3, 3

    def __init__(self, weights="a" * 64):
        self.weights, self.calls = weights, 0

    def fingerprint(self):
        return self.weights

    def encode(self, images):
        import tensorflow as tf

        self.calls += 1
        halves = tf.stack([images[:, :37], images[:, 38:]], axis=1)
        quarters = tf.stack([halves[:, :, :, :37], halves[:, :, :, 38:]], axis=2)
        return {
            "regions": tf.reshape(tf.reduce_mean(quarters, axis=(3, 4)), (-1, 4, 3)),
            "global": tf.reduce_mean(images, axis=(1, 2)),
        }

    def average(self, features, mirrored):
        from dafsn_tf.layers.backbones import Backbone

        return Backbone.average(self, features, mirrored)


@pytest.fixture
def collection(jsonl_source, tmp_path):
    lines = [{"image": f"{n}.png", "texts": ["a picture"], "split": "train"} for n in range(40)]
    lines += [{"image": f"v{n}.png", "texts": ["a picture"], "split": "validation"} for n in range(2)]
    lines += [{"image": "t.png", "texts": ["a picture"], "split": "test"}]
    prepare("jsonl", jsonl_source(lines), tmp_path / "data")
    return tmp_path / "data"


def test_features_are_the_backbones_and_computed_once(collection):
    records, backbone = open_split(collection, "train"), MeanBackbone()
    seen = []
    features = cached_features(collection, records, CONFIG, backbone, lambda done, total: seen.append((done, total)))
    assert seen == [(32, 40), (40, 40)]
    regions, whole = features.read(np.array([39, 0, 39]))
    assert regions.shape == (3, 4, 3)
    assert regions.dtype == np.float16
    np.testing.assert_array_equal(regions[0], regions[2])
    np.testing.assert_allclose(whole, np.float32(regions).mean(axis=1), atol=0.05)
    assert len(np.unique(features.whole[:, 0], axis=0)) == 40
    again = MeanBackbone()
    np.testing.assert_array_equal(cached_features(collection, records, CONFIG, again).regions, features.regions)
    assert again.calls == 0


def test_an_interrupted_computation_goes_on(collection):
    records = open_split(collection, "train")

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_features(collection, records, CONFIG, MeanBackbone(), stop)
    seen = []
    resumed = cached_features(collection, records, CONFIG, MeanBackbone(), lambda done, total: seen.append(done))
    assert seen == [40]
    whole = cached_features(
        collection, records, ImageConfig(image_size=75, region_grid=2, region_layer="mixed8"), MeanBackbone()
    )
    np.testing.assert_array_equal(resumed.regions, whole.regions)


def test_a_stale_cache_is_refused_by_name(collection):
    records = open_split(collection, "train")
    cached_features(collection, records, CONFIG, MeanBackbone("a" * 64))
    with pytest.raises(
        DataError,
        match=r"stale: made with weights a{12}\.\.\., now b{12}.*Delete that folder.* --weights FILE \(eval",
    ):
        cached_features(collection, records, CONFIG, MeanBackbone("b" * 64))
    manifest = dataclasses.replace(records.manifest, classes=("another",))
    other = dataclasses.replace(records, manifest=manifest)
    with pytest.raises(DataError, match="made with collection"):
        cached_features(collection, other, CONFIG, MeanBackbone("a" * 64))


def test_features_are_computed_where_nothing_can_be_locked(collection, monkeypatch, caplog):
    def flock(descriptor, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", flock)
    records = open_split(collection, "train")
    assert len(cached_features(collection, records, CONFIG, MeanBackbone())) == len(records)
    assert "train.lock cannot be locked (Operation not supported)" in caplog.text


def test_a_damaged_cache_is_named(collection):
    records = open_split(collection, "train")
    cached_features(collection, records, CONFIG, MeanBackbone())
    folder = next((collection / "features").iterdir())
    (folder / "train-regions.npy").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"train-regions\.npy cannot be read"):
        cached_features(collection, records, CONFIG, MeanBackbone())


def test_mirrored_variants_only_of_training_images(collection):
    config = ImageConfig(image_size=75, region_grid=2, augmentation="flip")
    train = cached_features(collection, open_split(collection, "train"), config, MeanBackbone())
    assert train.variants == 2
    np.testing.assert_allclose(train.regions[:, 1], train.regions[:, 0][:, [1, 0, 3, 2]], atol=2e-3)
    assert cached_features(collection, open_split(collection, "validation"), config, MeanBackbone()).variants == 1
    state = json.loads(next((collection / "features").glob("*/train.json")).read_text())
    assert state["augmentation"] == "flip"


def test_averages_with_the_mirror_image_are_what_evaluation_sees(collection):
    config = ImageConfig(image_size=75, region_grid=2, augmentation="flip", flip_averaging=True)
    train = cached_features(collection, open_split(collection, "train"), config, MeanBackbone())
    average, plain, mirrored = (train.regions[:, variant].astype("float32") for variant in range(3))
    np.testing.assert_allclose(mirrored, plain[:, [1, 0, 3, 2]], atol=2e-3)
    np.testing.assert_allclose(average, (plain + mirrored[:, [1, 0, 3, 2]]) / 2, atol=2e-3)
    validation = cached_features(collection, open_split(collection, "validation"), config, MeanBackbone())
    assert validation.variants == 1
    once = dataclasses.replace(config, augmentation="none")
    again = cached_features(collection, open_split(collection, "train"), once, MeanBackbone())
    assert again.variants == 1
    np.testing.assert_array_equal(again.regions[:, 0], train.regions[:, 0])


def test_a_collection_that_cannot_be_written_to_is_told(collection, monkeypatch):
    records = open_split(collection, "train")
    with monkeypatch.context() as patch:
        patch.setattr("dafsn_tf.files.os.access", lambda path, mode: False)
        with pytest.raises(DataError, match=r"cannot be written to\. Make the collection writable"):
            cached_features(collection, records, CONFIG, MeanBackbone())
    (collection / "features").write_text("in the way")
    with pytest.raises(DataError, match=r"features is a file\. Make the collection writable"):
        cached_features(collection, records, CONFIG, MeanBackbone())


def test_features_that_are_there_need_nothing_written(collection, monkeypatch):
    records, backbone = open_split(collection, "train"), MeanBackbone()
    cached_features(collection, records, CONFIG, backbone)
    monkeypatch.setattr("dafsn_tf.files.os.access", lambda path, mode: False)
    assert len(cached_features(collection, records, CONFIG, backbone)) == 40


def test_a_picture_that_cannot_be_decoded_is_named(collection, monkeypatch):
    records = open_split(collection, "train")
    monkeypatch.setattr(type(records), "read_images", lambda self, indices: [b"no picture"] * len(indices))
    with pytest.raises(DataError, match=rf"Image '{records.ids[0]}' of split 'train' cannot be decoded"):
        cached_features(collection, records, CONFIG, MeanBackbone())


def test_the_same_features_are_computed_by_one_at_a_time(collection, caplog):
    """A lock on a file counts for each who opened it: threads stand for processes here."""
    records, backbones, results = open_split(collection, "train"), [MeanBackbone(), MeanBackbone()], {}
    begun, go_on = threading.Event(), threading.Event()

    def wait_for_the_other(done, total):
        begun.set()
        assert go_on.wait(timeout=60)

    def compute(number, progress=None):
        results[number] = cached_features(collection, records, CONFIG, backbones[number], progress)

    threads = [
        threading.Thread(target=compute, args=(0, wait_for_the_other)),
        threading.Thread(target=compute, args=(1,)),
    ]
    threads[0].start()
    assert begun.wait(timeout=60)
    threads[1].start()
    while "Another process computes" not in caplog.text:
        assert threads[1].is_alive()
    go_on.set()
    for thread in threads:
        thread.join(timeout=60)
    assert backbones[0].calls
    assert not backbones[1].calls
    np.testing.assert_array_equal(results[0].regions, results[1].regions)
    assert results[1].regions.any(axis=(1, 2, 3)).all()


def test_features_that_are_there_need_no_lock(collection):
    records = open_split(collection, "train")
    cached_features(collection, records, CONFIG, MeanBackbone())
    with next((collection / "features").glob("*/train.lock")).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert len(cached_features(collection, records, CONFIG, MeanBackbone())) == 40
