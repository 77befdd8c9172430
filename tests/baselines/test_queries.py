import numpy as np
import pytest

from dafsn_tf.baselines.queries import query_values
from dafsn_tf.evaluation.protocols import Collection, evaluate_scores

TEXT_IMAGE = np.array([0, 0, 1, 2, 2, 2, 3])
LABELS = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.float32)


@pytest.mark.parametrize("documents", [True, False])
@pytest.mark.parametrize("labels", [LABELS, None])
def test_their_means_are_the_figures_of_evaluate_scores(documents, labels):
    collection = Collection(TEXT_IMAGE, labels, documents)
    scores = np.random.default_rng(0).normal(size=(7, 4)).astype("float32")
    values = query_values(scores, collection)
    figures = evaluate_scores({"score": scores}, collection)
    assert values["protocol"] == next(iter(figures["protocols"]))
    for direction, queries in (("image_to_text", 4), ("text_to_image", 4 if documents else 7)):
        expected = figures["protocols"][values["protocol"]]["score"][direction]
        found = values[direction]
        assert {len(column) for column in found.values()} == {queries}
        assert np.mean(found["average_precision"]) == pytest.approx(expected["map@all"], abs=1e-6)
        for cut in (1, 5, 10):
            assert np.mean(np.array(found["first_relevant_rank"]) <= cut) == pytest.approx(expected[f"recall@{cut}"])
    assert values["image_to_text"]["image"] == [0, 1, 2, 3]
    assert values["text_to_image"]["image"] == ([0, 1, 2, 3] if documents else TEXT_IMAGE.tolist())


def test_a_query_without_a_relevant_item_has_no_value():
    values = query_values(np.ones((1, 2), np.float32), Collection(np.array([0])))
    assert values["image_to_text"]["average_precision"] == [1, None]
    assert values["image_to_text"]["first_relevant_rank"] == [1, None]
