import numpy as np
import pytest
from harness import check_layer

from dafsn_tf.layers import FeaturePooling


def sets():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(4, 6, 5)).astype("float32")
    return features, np.arange(6) < np.array([[6], [1], [3], [0]])


@pytest.mark.parametrize(("kind", "pooled"), [("mean", np.mean), ("max", np.max)])
def test_mean_and_max_of_the_present_members(kind, pooled):
    features, mask = sets()
    found = FeaturePooling(kind)(features, mask).numpy()
    for row, (members, present) in enumerate(zip(features, mask, strict=True)):
        expected = pooled(members[present], axis=0) if present.any() else np.zeros(5)
        np.testing.assert_allclose(found[row], expected, atol=1e-6)


def test_gpo_weighs_sorted_values():
    features, mask = sets()
    layer = FeaturePooling("gpo")
    found = layer(features, mask).numpy()
    for row, (members, present) in enumerate(zip(features, mask, strict=True)):
        weights = layer._rank_weights(mask[row : row + 1]).numpy()[0][: present.sum()]
        ordered = -np.sort(-members[present], axis=0)
        expected = (weights[:, None] * ordered).sum(axis=0) if present.any() else np.zeros(5)
        np.testing.assert_allclose(found[row], expected, atol=1e-5)
        if present.any():
            assert weights.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", ["mean", "max", "gpo"])
def test_neither_order_nor_padding_matters(kind):
    features, mask = sets()
    layer = FeaturePooling(kind)
    expected = layer(features, mask).numpy()
    turned = layer(features[:, ::-1], mask[:, ::-1]).numpy()
    longer = layer(
        np.pad(features, ((0, 0), (0, 3), (0, 0)), constant_values=9), np.pad(mask, ((0, 0), (0, 3)))
    ).numpy()
    np.testing.assert_allclose(turned, expected, atol=1e-5)
    np.testing.assert_allclose(longer, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["mean", "max", "gpo"])
def test_a_set_of_one_is_its_member(kind):
    features, _ = sets()
    alone = features[:, :1]
    np.testing.assert_allclose(FeaturePooling(kind)(alone, np.ones((4, 1), bool)), alone[:, 0], atol=1e-6)


@pytest.mark.parametrize("kind", ["mean", "max", "gpo"])
def test_layer_contract(kind):
    features, mask = sets()
    check_layer(lambda **options: FeaturePooling(kind, **options), (features, mask))
