import numpy as np
import pytest

from dafsn_tf.config import EvaluationConfig
from dafsn_tf.data.decoding import DecodedImages, decoded_images
from dafsn_tf.data.features import FrozenFeatures
from dafsn_tf.data.records import open_split
from dafsn_tf.evaluation.embedding import Embedder, selection_sample


@pytest.fixture
def records(shapes_data):
    return open_split(shapes_data, "train")  # forty images


@pytest.mark.parametrize("most", [0, 40, 1000])
def test_a_split_that_is_small_enough_is_read_whole(records, most):
    inputs = FrozenFeatures(np.zeros((40, 1, 4, 3)), np.zeros((40, 1, 3)))
    assert selection_sample(records, inputs, EvaluationConfig(selection_images=most)) == (records, inputs)


@pytest.mark.parametrize("most", [1, 7, 20, 39])
def test_of_a_large_split_some_images_are_drawn_the_same_ones_every_time(records, most):
    numbers = np.arange(40.0)
    features = FrozenFeatures(numbers[:, None, None, None], numbers[:, None, None])
    sample, inputs = selection_sample(records, features, EvaluationConfig(selection_images=most))
    chosen = inputs.whole[:, 0, 0].astype(int)
    assert len(sample) == len(inputs) == most
    assert (np.diff(chosen) > 0).all()
    again, _ = selection_sample(records, None, EvaluationConfig(selection_images=most))
    assert again.ids == sample.ids
    np.testing.assert_array_equal(inputs.regions[:, 0, 0, 0], chosen)
    np.testing.assert_array_equal(sample.labels, records.labels[chosen])
    for field in ("ids", "texts", "mentions"):
        assert getattr(sample, field) == [getattr(records, field)[index] for index in chosen]
    assert sample.read_images(range(most)) == records.read_images(chosen)


def test_decoded_images_are_sampled_too(records):
    images = decoded_images(records, 16)
    assert isinstance(images, DecodedImages)
    sample, inputs = selection_sample(records, images, EvaluationConfig(selection_images=4))
    np.testing.assert_array_equal(inputs.images, decoded_images(sample, 16).images)
    assert selection_sample(records, None, EvaluationConfig(selection_images=4))[1] is None


def test_regions_are_rounded_where_half_the_memory_is_asked_for(tiny_run):
    data, run = tiny_run
    records, embedder = open_split(data, "test"), Embedder(run.model, run.text_preprocessor)
    whole, half = (embedder.embed_split(records, half_regions=asked) for asked in (False, True))
    assert half.regions.dtype == np.float16
    np.testing.assert_array_equal(half.regions, whole.regions.astype(np.float16))
    np.testing.assert_array_equal(half.images, whole.images)
