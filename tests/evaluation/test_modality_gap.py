import numpy as np
import pytest

from dafsn_tf.errors import RunError
from dafsn_tf.evaluation.modality_gap import modality_gap


def embeddings(images=300, texts_per_image=2, dim=16, shift=0.0, spread=(1.0, 1.0), seed=0):
    """Vectors of both modalities around a meaning that a picture and its texts share."""
    random = np.random.default_rng(seed)
    text_image = np.repeat(np.arange(images), texts_per_image)
    meaning = random.normal(size=(images, dim))
    sentences = meaning[text_image] + spread[0] * random.normal(size=(len(text_image), dim))
    pictures = meaning + spread[1] * random.normal(size=(images, dim))
    sentences[:, 0] += shift
    return sentences, pictures, text_image


def test_modalities_in_different_places_are_told_apart():
    gap = modality_gap(*embeddings(shift=30.0))
    assert gap["probe_accuracy"] == gap["linear_probe_accuracy"] == 1.0
    assert gap["centroid_distance"] > 0.5


def test_modalities_of_one_distribution_are_not():
    gap = modality_gap(*embeddings())
    assert gap["probe_accuracy"] == pytest.approx(0.5, abs=0.07)
    assert gap["linear_probe_accuracy"] == pytest.approx(0.5, abs=0.07)
    assert gap["centroid_distance"] < 0.15


def test_equal_embeddings_give_exactly_one_half():
    images = np.random.default_rng(0).normal(size=(40, 8))
    gap = modality_gap(images, images, np.arange(40))
    assert gap == {"probe_accuracy": 0.5, "linear_probe_accuracy": 0.5, "centroid_distance": 0.0}


def test_modalities_that_differ_in_shape_alone_fool_the_linear_probe_only():
    random = np.random.default_rng(0)
    signs = random.choice([-1.0, 1.0], (600, 1))
    sentences = np.concatenate([signs[:300], 0.1 * random.normal(size=(300, 5))], axis=1)  # at both ends of an axis
    images = random.normal(size=(300, 6)) * [0.0, 1, 1, 1, 1, 1]  # in the middle of it
    gap = modality_gap(sentences, images, np.arange(300))
    assert gap["probe_accuracy"] > 0.97
    assert gap["linear_probe_accuracy"] < 0.65


def test_the_distance_of_centroids_by_hand():
    sentences = np.array([[2.0, 0], [0, 9], [0, 3], [0, 1]])  # unit: (1, 0), then (0, 1) three times
    images = np.array([[0.5, 0], [4, 0], [0, -1]])  # the last has no text
    gap = modality_gap(sentences, images, np.array([0, 1, 1, 1]))
    assert gap["centroid_distance"] == pytest.approx(np.sqrt(0.5))  # (.5, .5) and (1, 0)


def test_the_length_of_vectors_does_not_count():
    sentences, images, text_image = embeddings(images=60)
    gap = modality_gap(sentences, images, text_image)
    longer = modality_gap(sentences * 7, images * np.arange(1, 61)[:, None], text_image)
    assert longer["centroid_distance"] == pytest.approx(gap["centroid_distance"])
    assert longer["probe_accuracy"] < 0.75


def test_the_same_seed_gives_the_same_gap():
    assert modality_gap(*embeddings(images=30), seed=3) == modality_gap(*embeddings(images=30), seed=3)


def test_what_cannot_be_probed_is_named():
    sentences, images, text_image = embeddings(images=4)
    with pytest.raises(RunError, match="1 pictures with a text; the modality gap needs at least 2"):
        modality_gap(sentences[:2], images, text_image[:2])
    images[2] = np.nan
    with pytest.raises(RunError, match="not all finite"):
        modality_gap(sentences, images, text_image)
