"""The peers' losses and scores against plain loops."""

import numpy as np
import pytest
import tensorflow as tf

from dafsn_tf.baselines import acmr, dscmr
from dafsn_tf.baselines.hinge import hinge_loss
from dafsn_tf.baselines.neural import share_a_class
from dafsn_tf.baselines.scan import text_to_image_scores
from dafsn_tf.losses import discriminator_loss

RANDOM = np.random.default_rng(0)


def units(*shape):
    vectors = RANDOM.normal(size=shape)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype("float32")


@pytest.mark.parametrize("hardest", [True, False])
def test_hinge(hardest):
    scores = RANDOM.normal(size=(5, 5)).astype("float32")
    expected = 0.0
    for item in range(5):
        others = [other for other in range(5) if other != item]
        of_images = [max(0, 0.2 + scores[item, other] - scores[item, item]) for other in others]
        of_texts = [max(0, 0.2 + scores[other, item] - scores[item, item]) for other in others]
        expected += max(of_images) + max(of_texts) if hardest else sum(of_images) + sum(of_texts)
    assert float(hinge_loss(scores, 0.2, hardest)) == pytest.approx(expected, rel=1e-5)


def naive_scan(words, mask, regions, temperature):
    """Eq 6-9, one text and one image at a time."""
    scores = np.zeros((len(words), len(regions)))
    for text in range(len(words)):
        e = np.float64(words[text][mask[text]])
        for image, v in enumerate(np.float64(regions)):
            if not len(e):
                continue
            positive = np.maximum(e @ v.T, 0)
            normalised = positive / np.maximum(np.linalg.norm(positive, axis=0, keepdims=True), 1e-12)
            weights = np.exp(temperature * normalised)
            gathered = weights / weights.sum(1, keepdims=True) @ v
            scores[text, image] = np.mean([w @ a / np.linalg.norm(a) for w, a in zip(e, gathered, strict=True)])
    return scores


def test_scan_equals_plain_loops_with_padding_one_word_and_no_word():
    words, regions = units(4, 5, 8), units(3, 7, 8)
    mask = np.arange(5) < np.array([5, 3, 1, 0])[:, None]
    words = words * mask[..., None]
    found = text_to_image_scores(tf.constant(words), tf.constant(mask), tf.constant(regions), 9.0)
    np.testing.assert_allclose(found, naive_scan(words, mask, regions, 9.0), atol=1e-5)


def test_acmr_structure_equals_plain_loops():
    images, texts = RANDOM.normal(size=(2, 6, 4)).astype("float32")
    classes = np.array([0, 0, 1, 1, 1, 2])
    same = classes[:, None] == classes
    unit_images, unit_texts = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (images, texts))
    distances = np.linalg.norm(unit_texts[:, None] - unit_images[None], axis=-1)
    expected = 0.0
    for table in (distances, distances.T):
        for anchor in range(6):
            pull = np.mean([table[anchor, other] for other in range(6) if same[anchor, other]])
            push = np.mean([max(0, 1.2 - table[anchor, other]) for other in range(6) if not same[anchor, other]])
            expected += (pull + 0.7 * push) / 6
    assert float(acmr.structure_loss(images, texts, same, 1.2, 0.7)) == pytest.approx(expected, rel=1e-4)


def test_a_reversed_gradient_leaves_the_features_as_they_are():
    features = tf.Variable([[1.0, -2.0]])
    with tf.GradientTape() as tape:
        reversed_features = acmr.reversed_gradient(features, 0.3)
        value = tf.reduce_sum(reversed_features * [[3.0, 5.0]])
    np.testing.assert_allclose(reversed_features, [[1, -2]], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(value, features), [[-0.9, -1.5]], rtol=1e-6)


def test_acmrs_adversarial_gradient_reaches_the_projectors_and_opposes_the_classifiers():
    """What ACMR's released code lost."""
    model = acmr.ACMR(3, acmr.Settings(image_hidden=8, text_hidden=8, dim=6))
    vectors, bags = tf.constant(RANDOM.normal(size=(7, 5)), tf.float32), tf.constant(units(7, 9))
    gradients = {}
    for strength in (-1.0, 1.0):  # -1: the gradient as the classifier's loss has it
        with tf.GradientTape() as tape:
            tf.random.set_seed(0)
            model.modality_classifier.dropout_layers = [lambda hidden, training: hidden] * 2
            logits = model.modality_logits(model.encode_images(vectors), model.encode_texts(bags), strength)
            loss = discriminator_loss(*logits)
        projectors = model.image_projector.trainable_variables + model.text_projector.trainable_variables
        own = model.modality_classifier.trainable_variables
        gradients[strength] = tape.gradient(loss, [*projectors, *own])
    for straight, opposed in zip(gradients[-1.0][: len(projectors)], gradients[1.0], strict=False):
        assert np.abs(opposed).max() > 0
        np.testing.assert_allclose(opposed, -straight, rtol=1e-4, atol=1e-8)
    for straight, same in zip(gradients[-1.0][len(projectors) :], gradients[1.0][len(projectors) :], strict=True):
        np.testing.assert_allclose(same, straight, rtol=1e-4, atol=1e-8)


def test_dscmr_equals_plain_loops():
    images, texts = RANDOM.normal(size=(2, 5, 4)).astype("float32")
    labels = np.eye(3, dtype="float32")[[0, 0, 1, 2, 2]]
    predictions = RANDOM.normal(size=(5, 3)).astype("float32")
    expected = np.mean([np.linalg.norm(row) for row in predictions - labels])
    assert float(dscmr.label_space_loss(predictions, labels)) == pytest.approx(expected, rel=1e-5)
    expected = np.mean([np.linalg.norm(row) for row in images - texts])
    assert float(dscmr.invariance_loss(images, texts)) == pytest.approx(expected, rel=1e-5)

    def likelihood(left, right):
        total = 0.0
        for i in range(5):
            for j in range(5):
                theta = left[i] @ right[j] / np.linalg.norm(left[i]) / np.linalg.norm(right[j]) / 2
                total += np.log(1 + np.exp(theta)) - (labels[i] @ labels[j]) * theta
        return total / 25

    expected = likelihood(images, images) + likelihood(images, texts) + likelihood(texts, texts)
    assert float(dscmr.discrimination_loss(images, texts, labels)) == pytest.approx(expected, rel=1e-5)


def test_pictures_without_a_class_belong_to_their_own_texts_and_predict_nothing():
    labels = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]], "float32")
    same = np.eye(4, dtype=bool)
    same[0, 2] = same[2, 0] = True
    np.testing.assert_array_equal(share_a_class(labels), same)
    predictions = RANDOM.normal(size=(4, 3)).astype("float32")
    expected = np.mean([np.linalg.norm(predictions[row] - labels[row]) for row in (0, 2)])
    assert float(dscmr.label_space_loss(predictions, labels)) == pytest.approx(expected, rel=1e-5)
    assert float(dscmr.label_space_loss(predictions, 0 * labels)) == 0


def test_dscmrs_last_layer_is_shared():
    model = dscmr.DSCMR(3, dscmr.Settings(hidden=6, dim=4))
    model.encode_images(tf.zeros((1, 5)))
    model.encode_texts(tf.zeros((1, 7)))
    assert len(model.trainable_variables) == 2 * 3  # image layer, text layer, shared layer
