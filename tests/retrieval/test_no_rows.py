"""A request without pictures, whatever the first convolution of the network is."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from dafsn_tf.evaluation.fusion import Fusion
from dafsn_tf.preprocessing.text import TextPreprocessor
from dafsn_tf.retrieval import Encoder


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_no_pictures_pass_through_convolutions(padding):
    kernel, scale = tf.Variable(tf.ones([3, 3, 3, 8])), tf.Variable(tf.ones([8]))

    def encode_images(images, training):
        features = tf.nn.relu(tf.nn.conv2d(images, kernel, 2, padding) * scale)
        return {"image_features": tf.reduce_mean(features, [1, 2]), "region_features": features[:, 0]}

    model = SimpleNamespace(
        config=SimpleNamespace(image=SimpleNamespace(image_size=11)),
        image_encoder=SimpleNamespace(region_centres=[[0.5, 0.5]]),
        encode_images=encode_images,
    )
    encoder = Encoder(model, TextPreprocessor(["a"], 3, 1), Fusion(0, 1, 0, 1, 0.5))
    assert encoder.encode_image(tf.zeros([0], tf.string))["image_features"].shape == (0, 8)
    assert encoder.encode_image(tf.constant(["no picture"]))["image_features"].shape == (1, 8)
