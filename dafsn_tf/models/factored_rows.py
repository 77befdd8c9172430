"""Rows of many words that follow from few numbers a word, as a product of two thin matrices.

Words that a model knows by their vectors alone have embeddings and canonical directions that are linear in these
vectors: 100 numbers each, not 556. Directions that came with the heads which training began with follow from vectors
for most of them, and take about twice as many.
"""

import numpy as np

_NOTHING = 1e-6  # share of the first singular value below which one holds rounding errors


def factor(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return matrices (n, k) float16 and (k, W) float32 whose product is rows (n, W); None where that saves nothing.

    Nothing is saved against rows in float16 unless their rank k is well below W. What float16 loses is in proportion to
    each of the k parts of a row, a two-thousandth at most.
    """
    if not rows.size:
        return None
    left, values, right = np.linalg.svd(rows.astype(np.float64), full_matrices=False)
    rank = max(int((values > _NOTHING * values[0]).sum()), 1)
    if 2 * rank * len(rows) + 4 * rank * rows.shape[1] >= 2 * rows.size:
        return None
    scales = np.abs(left[:, :rank]).max(axis=0)
    return (left[:, :rank] / scales).astype(np.float16), (right[:rank] * (values[:rank] * scales)[:, None]).astype("f4")
