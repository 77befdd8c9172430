import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dafsn_tf.models.factored_rows import factor


@settings(deadline=None, max_examples=40)
@given(
    words=st.integers(30, 80),
    rank=st.integers(1, 6),
    scale=st.sampled_from([1e-4, 1.0, 1e4]),
    seed=st.integers(0, 2**16),
)
def test_rows_of_low_rank_are_the_product_of_their_factors(words, rank, scale, seed):
    rng = np.random.default_rng(seed)
    rows = (scale * rng.normal(size=(words, rank)) @ rng.normal(size=(rank, 40))).astype("float32")
    rows[:, 30:] *= 1e-3  # a table of smaller numbers beside the other loses no more of them
    left, right = factor(rows)
    assert left.shape == (words, rank)
    assert left.nbytes + right.nbytes < 2 * rows.size
    product = left.astype("float32") @ right
    for part in (slice(30), slice(30, None)):
        errors = np.linalg.norm(product[:, part] - rows[:, part], axis=1)
        assert errors.max() <= 1e-2 * np.linalg.norm(rows[:, part], axis=1).max()


@pytest.mark.parametrize("rows", [np.random.default_rng(0).normal(size=(50, 40)), np.zeros((0, 40))])
def test_rows_that_follow_from_nothing_smaller_have_no_factors(rows):
    assert factor(rows) is None


def test_rows_of_zeros_stay_zeros():
    left, right = factor(np.zeros((50, 40), "float32"))
    np.testing.assert_array_equal(left.astype("float32") @ right, np.zeros((50, 40)))
