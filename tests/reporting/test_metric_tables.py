import numpy as np
import pytest

from dafsn_tf.evaluation.protocols import Collection
from dafsn_tf.reporting.measured import Measured
from dafsn_tf.reporting.metric_tables import difference, median_interval, metrics_table


def test_worked_example_of_the_docstring():
    """A resample's median is 1, 2 or 3 with probability 1/4, 1/2, 1/4."""
    assert median_interval(np.array([1.0, 3.0]), np.array([0, 1]), 2) == (1, 3)


def test_the_interval_is_that_of_plain_resamples():
    random = np.random.default_rng(5)
    image = np.repeat(np.arange(30), 3)
    ranks = random.integers(1, 40, 90).astype(float)
    ranks[7] = np.nan
    medians = []
    for _ in range(4000):
        drawn = [ranks[image == picture] for picture in random.integers(0, 30, 30)]
        medians.append(np.nanmedian(np.concatenate(drawn)))
    assert median_interval(ranks, image, 30) == pytest.approx(np.quantile(medians, [0.025, 0.975]), abs=1)


def measured(name, seed, better=0.0):
    labels = np.eye(2, dtype="float32")[np.arange(8) % 2]
    scores = np.random.default_rng(seed).normal(size=(16, 8)) + better * np.repeat(np.eye(8), 2, axis=0)
    return Measured(name, {"score": scores.astype("float32")}, Collection(np.repeat(np.arange(8), 2), labels))


def test_a_run_does_not_differ_from_itself():
    one = measured("one", 0)
    for direction in ("image_to_text", "text_to_image"):
        assert difference(one, measured("same", 0), direction, "map@all") == (0, 0, 0)


def test_a_better_run_is_ahead_and_the_mean_is_the_tables():
    strong, weak = measured("strong", 0, better=10), measured("weak", 1)
    gain = difference(strong, weak, "text_to_image", "recall@1")
    tables = [one.evaluation["protocols"]["sentence"]["score"]["text_to_image"]["recall@1"] for one in (strong, weak)]
    assert gain.mean == pytest.approx(tables[0] - tables[1])
    assert 0 < gain.low <= gain.mean <= gain.high


def test_the_table_has_both_directions_and_chance():
    html = metrics_table([measured("one", 0), measured("other", 1)], "sentence")
    assert html.count('<th scope="row">chance</th>') == 2
    for direction in ("Image to text", "Text to image"):
        assert html.count(f"<caption><span>{direction}, protocol &#x27;sentence&#x27;</span></caption>") == 1
