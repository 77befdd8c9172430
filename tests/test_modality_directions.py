"""What tells the modalities apart is found and taken out, and nothing else is."""

import numpy as np
import pytest

import modality_directions
from dafsn_tf.evaluation.embedding import Embeddings
from dafsn_tf.evaluation.modality_gap import modality_gap
from dafsn_tf.evaluation.protocols import Collection

DIM, PICTURES = 12, 80
AXIS = 3  # along which the modalities differ


def embeddings(seed: int) -> Embeddings:
    """Two texts a picture, as the picture but for noise and a shift along one axis; two canonical columns behind."""
    random = np.random.default_rng(seed)
    meaning = random.normal(size=(PICTURES, DIM))
    text_image = np.repeat(np.arange(PICTURES), 2)
    shift = 2 * np.eye(DIM)[AXIS]
    sentences = meaning[text_image] + 0.1 * random.normal(size=(2 * PICTURES, DIM)) + shift
    images = meaning - shift
    padded = [np.pad(rows, [(0, 0), (0, 2)], constant_values=9.0) for rows in (sentences, images)]
    none = np.zeros(0)
    return Embeddings(padded[0], none, none, none, padded[1], none, Collection(text_image, None, documents=False))


@pytest.fixture(scope="module")
def separation() -> modality_directions.Separation:
    return modality_directions.Separation(embeddings(0), embeddings(1), DIM, 3)


def test_the_first_direction_is_that_of_the_shift_and_all_are_orthonormal(separation) -> None:
    directions = separation.directions
    assert 1 <= len(directions) <= 3
    np.testing.assert_allclose(directions @ directions.T, np.eye(len(directions)), atol=1e-8)
    assert abs(directions[0, AXIS]) > 0.8  # of a probe that is held short
    assert separation.random.shape == directions.shape
    np.testing.assert_allclose(separation.random @ separation.random.T, np.eye(len(directions)), atol=1e-8)


def test_fewer_directions_are_found_where_a_probe_finds_no_more() -> None:
    rows = np.random.default_rng(0).normal(size=(50, DIM))
    assert len(modality_directions.modality_directions(rows, rows, 4)) == 0


def test_without_what_was_found_a_probe_is_hardly_better_than_chance_and_pairs_are_found_as_before(separation) -> None:
    found = modality_directions.without_directions(separation.as_it_is, separation.directions)
    centred = separation.without_means()
    gaps = [
        modality_gap(*features, separation.collection.text_image)["linear_probe_accuracy"]
        for features in (separation.as_it_is, found, centred)
    ]
    assert gaps[0] > 0.95
    assert max(gaps[1:]) < 0.75
    for sentences, images in (found, centred):
        np.testing.assert_allclose(np.linalg.norm(sentences, axis=1), 1, atol=1e-8)
        best = (sentences @ images.T).argmax(axis=1)
        assert (best == separation.collection.text_image).mean() > 0.9
    assert np.abs(found[0] @ separation.directions.T).max() < 1e-8
