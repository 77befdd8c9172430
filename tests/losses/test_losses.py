import numpy as np
import pytest

from dafsn_tf.losses import (
    adversarial_loss,
    discriminator_loss,
    hinge_loss,
    label_loss,
    matching_loss,
    reversal_ramp,
)


def matching_by_loops(scores, same_item, same_class, gamma3, positives):
    """Equations 11 and 12 as plain loops over rows and columns, float64."""
    size = len(scores)
    total = 0.0
    for matrix, item, group in ((scores, same_item, same_class), (scores.T, same_item.T, same_class.T)):
        for i in range(size):
            targets, kept = [], []
            for j in range(size):
                alike = item[i, j] or group[i, j]
                if positives == "same_class":
                    targets.append(1.0 if alike or i == j else 0.0)
                    kept.append(True)
                else:
                    targets.append(1.0 if i == j else 0.0)
                    left_out = alike if positives == "mask_same_class" else item[i, j]
                    kept.append(i == j or not left_out)
            denominator = sum(np.exp(gamma3 * float(matrix[i, j])) for j in range(size) if kept[j])
            for j in range(size):
                if targets[j]:
                    total -= (
                        targets[j] / sum(targets) * np.log(np.exp(gamma3 * float(matrix[i, j])) / denominator) / size
                    )
    return total


@pytest.mark.parametrize("positives", ["pairs", "mask_same_class", "same_class"])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_matching_equals_plain_loops(positives, size):
    generator = np.random.default_rng(size)
    scores = generator.uniform(-1, 1, (size, size)).astype("float32")
    classes, items = generator.integers(0, 3, size), generator.integers(0, 5, size)
    same_class, same_item = classes[:, None] == classes, items[:, None] == items
    loss = matching_loss(scores, same_item, same_class, 10.0, positives)
    assert float(loss) == pytest.approx(
        matching_by_loops(scores, same_item, same_class, 10.0, positives), rel=1e-5, abs=1e-6
    )


def test_matching_is_small_for_a_perfect_batch_and_log_b_for_a_flat_one():
    nothing = np.zeros((4, 4), bool)
    assert float(matching_loss(np.eye(4, dtype="float32"), nothing, nothing, 50.0)) < 1e-6
    assert float(matching_loss(np.zeros((4, 4), "float32"), nothing, nothing)) == pytest.approx(2 * np.log(4))


def hinge_by_loops(scores, same_item, same_class, margin, positives, hardest):
    """VSE++'s equations 5 and 6 as plain loops over rows and columns, float64."""
    size, total = len(scores), 0.0
    for matrix, item, group in ((scores, same_item, same_class), (scores.T, same_item.T, same_class.T)):
        for i in range(size):
            costs = [
                max(0.0, margin + float(matrix[i, j]) - float(matrix[i, i]))
                for j in range(size)
                if j != i and not item[i, j] and not (positives != "pairs" and group[i, j])
            ]
            if costs:
                total += (max(costs) if hardest else sum(costs) / len(costs)) / size
    return total


@pytest.mark.parametrize("positives", ["pairs", "mask_same_class", "same_class"])
@pytest.mark.parametrize("hardest", [True, False])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_hinge_equals_plain_loops(positives, hardest, size):
    generator = np.random.default_rng(size)
    scores = generator.uniform(-1, 1, (size, size)).astype("float32")
    classes, items = generator.integers(0, 3, size), generator.integers(0, 5, size)
    same_class, same_item = classes[:, None] == classes, items[:, None] == items
    expected = hinge_by_loops(scores, same_item, same_class, 0.2, positives, hardest)
    assert float(hinge_loss(scores, same_item, same_class, 0.2, positives, hardest)) == pytest.approx(
        expected, abs=1e-6
    )


def test_label_loss_shares_targets_and_skips_unlabelled_rows():
    logits = np.array([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0], [9.0, 9.0, 9.0]], "float32")
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], "float32")
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = (-log_p[0, 0] - (log_p[1, 0] + log_p[1, 1]) / 2) / 2
    assert float(label_loss(logits, labels)) == pytest.approx(expected, rel=1e-6)
    assert float(label_loss(logits, np.zeros_like(labels))) == 0.0


def test_discriminator_loss_by_hand():
    image, text = np.array([0.0, 2.0], "float32"), np.array([-1.0], "float32")
    right = [1 / (1 + np.exp(-0.0)), 1 / (1 + np.exp(-2.0))], 1 - 1 / (1 + np.exp(1.0))
    expected = 0.5 * (-np.mean(np.log(right[0])) - np.log(right[1]))
    assert float(discriminator_loss(image, text)) == pytest.approx(expected, rel=1e-6)


def test_kinds_of_adversary():
    image, text = np.array([1.5, -0.3], "float32"), np.array([-2.0, 0.7], "float32")
    plain = float(discriminator_loss(image, text))
    flipped = float(adversarial_loss(image, text, kind="flipped_labels"))
    assert flipped == pytest.approx(float(discriminator_loss(text, image)))
    assert float(adversarial_loss(image, text, kind="uniform_targets")) == pytest.approx((plain + flipped) / 2)
    assert float(adversarial_loss(image, text, kind="gradient_reversal", ramp=0.25)) == pytest.approx(-0.25 * plain)
    undecided = np.zeros(2, "float32")
    assert float(adversarial_loss(undecided, undecided, kind="uniform_targets")) == pytest.approx(np.log(2))


def test_weighted_losses_equal_plain_loops():
    random = np.random.default_rng(0)
    image, text = random.normal(size=(2, 7)).astype("float32")
    weights = random.uniform(size=7) * np.array([1, 1, 0, 1, 0, 1, 1])
    weights = (weights / weights.sum()).astype("float32")
    right, flipped = 0.0, 0.0
    for weight, of_image, of_text in zip(*(array.astype(float) for array in (weights, image, text)), strict=True):
        chance_of_image = [1 / (1 + np.exp(-logit)) for logit in (of_image, of_text)]
        right -= weight * (np.log(chance_of_image[0]) + np.log(1 - chance_of_image[1])) / 2
        flipped -= weight * (np.log(1 - chance_of_image[0]) + np.log(chance_of_image[1])) / 2
    assert float(discriminator_loss(image, text, weights)) == pytest.approx(right, rel=1e-5)
    expected = {"flipped_labels": flipped, "uniform_targets": (right + flipped) / 2, "gradient_reversal": -right}
    for kind, value in expected.items():
        assert float(adversarial_loss(image, text, weights, kind)) == pytest.approx(value, rel=1e-5)


def test_ramp_goes_from_nothing_to_nearly_one():
    values = [float(reversal_ramp(progress)) for progress in (0.0, 0.1, 0.5, 1.0)]
    np.testing.assert_allclose(values, [0.0, np.tanh(0.5), np.tanh(2.5), np.tanh(5.0)], atol=1e-6)
