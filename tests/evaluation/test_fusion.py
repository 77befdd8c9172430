import json

import numpy as np
import pytest

from dafsn_tf.errors import RunError
from dafsn_tf.evaluation.fusion import Fusion, fit_fusion
from dafsn_tf.evaluation.protocols import Collection, selection_metrics

FUSION = Fusion(sentence_mean=1.0, sentence_deviation=2.0, word_mean=-1.0, word_deviation=0.5, weight=0.25)
IMAGES = 30
TEXT_IMAGE = np.repeat(np.arange(IMAGES), 2)
LABELS = np.eye(3)[np.arange(IMAGES) % 3]


def noise(seed):
    return np.random.default_rng(seed).standard_normal((2 * IMAGES, IMAGES)).astype(np.float32)


def pairs():
    return (TEXT_IMAGE[:, None] == np.arange(IMAGES)).astype(np.float32)


def same_class():
    return (LABELS @ LABELS.T)[TEXT_IMAGE].astype(np.float32)


def test_apply_mixes_standardised_scores():
    fused = FUSION.apply(np.array([[3.0, 1.0]]), np.array([[0.0, -1.5]]))
    assert fused.dtype == np.float32
    assert fused.tolist() == [[0.75 * 1 + 0.25 * 2, 0.25 * -1]]


def test_apply_leaves_its_arguments_alone():
    sentence, word = np.ones((1, 2), np.float32), np.ones((1, 2), np.float32)
    FUSION.apply(sentence, word)
    assert sentence.tolist() == word.tolist() == [[1, 1]]


def test_dictionary_round_trip_through_json():
    assert Fusion.from_dict(json.loads(json.dumps(FUSION.to_dict()))) == FUSION


def test_from_dict_names_what_it_expected():
    with pytest.raises(RunError, match=r"fusion holds weight; expected sentence_mean, .*, weight"):
        Fusion.from_dict({"weight": 0.5})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("weight", 1.5, r"weight is 1\.5; it must be in \[0, 1\]"),
        ("word_deviation", 0.0, r"word_deviation is 0\.0; it must be positive"),
        ("word_mean", float("nan"), "word_mean is nan; it must be a finite number"),
        ("sentence_mean", "1", "sentence_mean is '1'; it must be a finite number"),
    ],
)
def test_refuses_numbers_out_of_range(name, value, message):
    with pytest.raises(RunError, match=message):
        Fusion.from_dict(FUSION.to_dict() | {name: value})


def test_standardises_by_the_moments_of_all_pairs():
    sentence, word = 3 * noise(0) + 2, 0.1 * noise(1) - 4
    fusion = fit_fusion(sentence, word, Collection(TEXT_IMAGE))
    assert fusion.sentence_mean == pytest.approx(sentence.astype(np.float64).mean())
    assert fusion.sentence_deviation == pytest.approx(sentence.astype(np.float64).std())
    assert fusion.word_mean == pytest.approx(word.astype(np.float64).mean())
    assert fusion.word_deviation == pytest.approx(word.astype(np.float64).std())


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_score_that_nothing_taught_has_no_say(weight):
    """Words that happen to be right on validation must not enter where the loss did not teach them; nor sentences."""
    good, noisy = pairs() + 0.01 * noise(0), noise(1)
    sentence, word = (noisy, good) if weight == 0 else (good, noisy)
    labels = {1.0: same_class() + noise(2)}
    fusion = fit_fusion(sentence, word, Collection(TEXT_IMAGE, LABELS), "recall", labels, weight)
    assert fusion.weight == weight
    assert fusion.factors()["word" if weight == 0 else "sentence"] == 0
    assert 0 < fusion.label_weight <= 1


def test_scores_that_agree_keep_the_middle_weight():
    scores = pairs() + 0.01 * noise(0)
    assert fit_fusion(scores, scores, Collection(TEXT_IMAGE)).weight == 0.5


@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("metric", ["map", "recall", "balanced"])
def test_weight_is_as_good_as_the_best_and_of_those_nearest_the_middle(metric, documents):
    collection = Collection(TEXT_IMAGE, LABELS, documents)
    sentence, word = 1.5 * same_class() + noise(0), 3 * pairs() + noise(1)

    def value(weight):
        found = selection_metrics(Fusion(*fitted_moments, weight=weight).apply(sentence, word), collection)
        precision = np.mean([found[direction]["map@all"] for direction in found])
        recall = np.mean([found[direction][f"recall@{k}"] for direction in found for k in (1, 5, 10)])
        return {"map": precision, "recall": recall, "balanced": (precision + recall) / 2}[metric]

    fusion = fit_fusion(sentence, word, collection, metric)
    fitted_moments = tuple(fusion.to_dict().values())[:4]
    values = {weight: value(weight) for weight in np.arange(21) / 20}
    good = [weight for weight, value in values.items() if value >= max(values.values()) - 0.0025 - 1e-12]
    assert fusion.weight in good
    assert abs(fusion.weight - 0.5) == min(abs(weight - 0.5) for weight in good)


def test_each_metric_leans_to_the_score_that_serves_it():
    collection = Collection(TEXT_IMAGE, LABELS)
    sentence, word = 2 * same_class() + noise(0), 3 * pairs() + noise(1)
    by_map, balanced, by_recall = (
        fit_fusion(sentence, word, collection, m).weight for m in ("map", "balanced", "recall")
    )
    assert by_map <= balanced <= by_recall
    assert by_map < by_recall
    assert by_map < 0.5 < by_recall


@pytest.mark.parametrize("constant", [0.0, 0.1, -3.3])
def test_a_constant_score_counts_nothing(constant):
    word = np.full((2 * IMAGES, IMAGES), constant, np.float32)
    sentence = pairs() + 0.01 * noise(0)
    fusion = fit_fusion(sentence, word, Collection(TEXT_IMAGE))
    assert fusion.word_deviation == 1
    assert fusion.weight < 1
    fused = selection_metrics(fusion.apply(sentence, word), Collection(TEXT_IMAGE))
    assert fused["text_to_image"]["recall@1"] == 1


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_refuses_scores_that_are_not_finite(bad):
    word = noise(0)
    word[0, 0] = bad
    with pytest.raises(RunError, match="word scores are not all finite"):
        fit_fusion(noise(1), word, Collection(TEXT_IMAGE))


def test_refuses_scores_of_different_shapes():
    with pytest.raises(RunError, match=r"\(60, 30\), word scores \(30, 60\); they must agree"):
        fit_fusion(noise(0), noise(1).T, Collection(TEXT_IMAGE))


def test_label_scores_are_a_third_part():
    fusion = Fusion(**{**FUSION.to_dict(), "label_mean": 0.5, "label_deviation": 0.25, "label_weight": 0.5})
    assert sum(fusion.factors().values()) == pytest.approx(1)
    fused = fusion.apply(np.array([[3.0]]), np.array([[0.0]]), np.array([[1.0]]))
    assert fused.tolist() == [[0.5 * (0.75 * 1 + 0.25 * 2) + 0.5 * 2]]


def test_label_weight_is_large_where_labels_tell_and_none_without_them():
    collection = Collection(TEXT_IMAGE, LABELS)
    with_labels = fit_fusion(noise(0), noise(1), collection, "map", {1.0: same_class() + 0.1 * noise(2)})
    assert with_labels.label_weight >= 0.5
    assert fit_fusion(noise(0), noise(1), collection, "map").label_weight == 0


@pytest.mark.parametrize("better", [1.0, 2.0])
def test_the_sharpness_that_ranks_better_is_kept_with_its_moments(better):
    collection = Collection(TEXT_IMAGE, LABELS)
    labels = {power: same_class() + (0.1 if power == better else 2.0) * noise(2) for power in (1.0, 2.0)}
    fusion = fit_fusion(noise(0), noise(1), collection, "map", labels)
    assert fusion.label_sharpness == better
    assert fusion.label_mean == pytest.approx(labels[better].astype(np.float64).mean())
    assert fusion.label_deviation == pytest.approx(labels[better].astype(np.float64).std())


def test_of_equally_good_sharpness_the_first_is_kept():
    scores = same_class() + 0.1 * noise(2)
    fusion = fit_fusion(noise(0), noise(1), Collection(TEXT_IMAGE, LABELS), "map", {1.0: scores, 2.0: scores})
    assert fusion.label_sharpness == 1


def test_a_file_from_before_label_scores_is_read():
    values = {name: value for name, value in FUSION.to_dict().items() if not name.startswith("label")}
    assert Fusion.from_dict(values) == FUSION
