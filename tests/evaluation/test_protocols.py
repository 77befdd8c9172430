import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dafsn_tf.errors import RunError
from dafsn_tf.evaluation.metrics import METRICS, chance, retrieval_metrics
from dafsn_tf.evaluation.protocols import (
    Collection,
    evaluate_scores,
    selection_error,
    selection_metrics,
    selection_value,
    takes_the_place,
)

# Images 0 and 1 share class 0, image 2 has class 1, image 3 none; image 0 has two texts.
TEXT_IMAGE = np.array([0, 0, 1, 2, 3])
LABELS = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], np.float32)
PAIRS = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], bool)
SHARED = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]], bool)
SCORES = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)


def only(metrics):
    return {name: metrics[name] for name in METRICS}


def test_sentence_protocol_by_hand():
    found = evaluate_scores({"sentence": SCORES}, Collection(TEXT_IMAGE, LABELS))
    assert list(found["protocols"]) == ["sentence"]
    directions = found["protocols"]["sentence"]["sentence"]
    assert directions["text_to_image"] == only(retrieval_metrics(SCORES, PAIRS, SHARED))
    assert directions["image_to_text"] == only(retrieval_metrics(SCORES.T, PAIRS.T, SHARED.T))
    assert found["chance"]["sentence"]["text_to_image"] == chance(PAIRS, SHARED)
    assert found["chance"]["sentence"]["image_to_text"] == chance(PAIRS.T, SHARED.T)


def test_document_protocol_averages_each_pictures_texts():
    found = evaluate_scores({"word": SCORES, "fused": -SCORES}, Collection(TEXT_IMAGE, LABELS, documents=True))
    assert list(found["protocols"]) == ["document", "sentence"]
    documents = np.concatenate([SCORES[:2].mean(axis=0, keepdims=True), SCORES[2:]])
    expected = retrieval_metrics(documents, np.eye(4, dtype=bool), SHARED[1:])
    assert found["protocols"]["document"]["word"]["text_to_image"] == only(expected)
    assert found["protocols"]["document"]["fused"]["text_to_image"] != only(expected)
    assert found["chance"]["document"]["text_to_image"] == chance(np.eye(4, dtype=bool), SHARED[1:])
    assert found["queries"]["document"]["text_to_image"] == {"queries": 4, "queries_without_relevant": 0}
    assert found["queries"]["sentence"]["text_to_image"] == {"queries": 5, "queries_without_relevant": 0}


def test_the_result_is_json_in_the_form_of_an_evaluation():
    scores = dict.fromkeys(("sentence", "word", "fused"), SCORES)
    found = json.loads(json.dumps(evaluate_scores(scores, Collection(TEXT_IMAGE, LABELS, documents=True))))
    for protocol in ("document", "sentence"):
        assert set(found["protocols"][protocol]) == set(scores)
        for directions in found["protocols"][protocol].values():
            assert set(directions) == {"image_to_text", "text_to_image"}
            for metrics in directions.values():
                assert set(metrics) == {"map@all", "map@50", "recall@1", "recall@5", "recall@10", "median_rank"}
        for metrics in found["chance"][protocol].values():
            assert set(metrics) == set(METRICS)


def test_chance_is_left_out_on_demand():
    found = evaluate_scores({"word": SCORES}, Collection(TEXT_IMAGE), chance=False)
    assert set(found) == {"protocols", "queries"}


def test_map_follows_pairs_where_there_are_no_classes():
    expected = only(retrieval_metrics(SCORES, PAIRS))
    for labels in (None, np.zeros((4, 2)), np.zeros((4, 0))):
        collection = Collection(TEXT_IMAGE, labels)
        assert not collection.has_classes
        assert (
            evaluate_scores({"word": SCORES}, collection)["protocols"]["sentence"]["word"]["text_to_image"] == expected
        )


def test_a_class_that_every_picture_has_tells_none_apart():
    everywhere = np.ones((4, 1))
    alone = Collection(TEXT_IMAGE, everywhere)
    assert not alone.has_classes
    assert evaluate_scores({"word": SCORES}, alone) == evaluate_scores({"word": SCORES}, Collection(TEXT_IMAGE))
    beside = Collection(TEXT_IMAGE, np.hstack([everywhere, LABELS]))
    assert beside.has_classes
    assert evaluate_scores({"word": SCORES}, beside) == evaluate_scores(
        {"word": SCORES}, Collection(TEXT_IMAGE, LABELS)
    )


def test_a_picture_without_a_class_is_relevant_to_its_own_text_alone():
    scores = np.array([[0.0, 0.0, 0.0, 1.0]], np.float32)
    collection = Collection(np.array([3]), LABELS)
    found = evaluate_scores({"word": scores}, collection)
    assert found["protocols"]["sentence"]["word"]["text_to_image"]["map@all"] == 1
    assert found["queries"]["sentence"]["image_to_text"] == {"queries": 4, "queries_without_relevant": 3}


def test_pictures_without_texts_are_counted_not_scored_in_documents():
    collection = Collection(np.array([0, 2, 2]), documents=True)
    scores = np.array([[3, 2, 1, 0], [0, 1, 3, 2], [0, 1, 2, 3]], np.float32)
    found = evaluate_scores({"word": scores}, collection)
    assert found["protocols"]["document"]["word"]["image_to_text"]["recall@1"] == 1
    assert found["queries"]["document"]["image_to_text"] == {"queries": 4, "queries_without_relevant": 2}
    assert found["queries"]["document"]["text_to_image"] == {"queries": 2, "queries_without_relevant": 0}


def test_selection_prefers_documents():
    collection = Collection(TEXT_IMAGE, LABELS, documents=True)
    protocols = evaluate_scores({"word": SCORES}, collection)["protocols"]
    chosen = selection_metrics(SCORES, collection)
    assert {d: only(m) for d, m in chosen.items()} == protocols["document"]["word"]
    expected = (chosen["image_to_text"]["map@all"] + chosen["text_to_image"]["map@all"]) / 2
    assert selection_value(chosen, has_classes=True) == pytest.approx(expected)


def test_selection_value_without_classes_is_the_recall_sum():
    metrics = {"map@all": 0.9, "recall@1": 0.1, "recall@5": 0.2, "recall@10": 0.4}
    directions = {"image_to_text": metrics, "text_to_image": metrics | {"recall@1": 0.3}}
    assert selection_value(directions, has_classes=False) == pytest.approx(0.7 + 0.9)
    assert selection_value(directions, has_classes=True) == pytest.approx(0.9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.booleans())
def test_no_figures_of_that_mean_have_a_larger_standard_error(figures, has_classes):
    largest = 1 if has_classes else 6
    error = largest * np.std(figures) / np.sqrt(len(figures))
    bound = selection_error(largest * np.mean(figures), has_classes, len(figures))
    assert error <= bound + 1e-6
    hits = np.round(figures)  # of which some are found and all others are not: the bound is reached
    error = largest * np.std(hits) / np.sqrt(len(hits))
    assert selection_error(largest * np.mean(hits), has_classes, len(hits)) == pytest.approx(error)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (5, 5), (5,)])
def test_refuses_scores_of_another_split(shape):
    with pytest.raises(RunError, match=r"the collection expects \(texts, images\) = \(5, 4\)"):
        evaluate_scores({"word": np.zeros(shape)}, Collection(TEXT_IMAGE, LABELS))


def test_refuses_images_that_texts_name_but_scores_lack():
    with pytest.raises(RunError, match=r"expects \(texts, images\) = \(5, 4 or more\)"):
        selection_metrics(np.zeros((5, 3)), Collection(TEXT_IMAGE))


def test_refuses_scores_that_differ_in_images():
    with pytest.raises(RunError, match=r"different numbers of images \(4, 6\)"):
        evaluate_scores({"word": np.zeros((5, 4)), "sentence": np.zeros((5, 6))}, Collection(TEXT_IMAGE))


def test_refuses_no_scores():
    with pytest.raises(RunError, match="no scores to evaluate"):
        evaluate_scores({}, Collection(TEXT_IMAGE))


@pytest.mark.parametrize(
    ("value", "best", "tolerance", "kept"),
    [
        (0.90, 0.89, 0, True),
        (0.90, 0.90, 0, False),  # of equals the first
        (0.88, 0.90, 0, False),
        (0.91, 0.90, 1, True),
        (0.88, 0.90, 1, True),  # one standard error of .9 is at most .03 with 100 images
        (0.86, 0.90, 1, False),
        (0.86, 0.90, 2, True),
        (1.00, 1.00, 1, True),  # of equals the last
        (0.99, 1.00, 1, False),
    ],
)
def test_which_epoch_takes_the_place_of_those_before(value, best, tolerance, kept):
    assert takes_the_place(value, best, tolerance, has_classes=True, images=100) is kept
