import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD

from dafsn_tf.baselines import cca, semantic_matching
from dafsn_tf.baselines.bags import BagsOfWords
from dafsn_tf.baselines.method import Surroundings

HERE = Surroundings(Path("unused"), lambda line: None)


def test_bags_leave_unknown_words_out(toy_split):
    train = toy_split("train", images=20)
    sentences = BagsOfWords(train).sentences(train).toarray()
    known = np.unique(train.word_ids[train.word_ids >= 3])
    assert sentences.shape == (40, len(known))
    np.testing.assert_allclose(np.linalg.norm(sentences, axis=1), 1, rtol=1e-5)
    for text, row in enumerate(train.word_ids):
        assert np.count_nonzero(sentences[text]) == len(set(row[row >= 3]))


def test_rare_words_weigh_more_than_common_ones(toy_split):
    train = toy_split("train", images=2)
    train.word_ids[:] = 0
    train.word_ids[:, 0] = 5
    train.word_ids[0, 1] = 6
    vector = BagsOfWords(train).sentences(train).toarray()[0]
    assert vector[1] / vector[0] == pytest.approx(np.log(5 / 2) + 1)  # idf = 1 + log (1 + 4) / (1 + 1), against 1


@pytest.fixture
def vectors_file(tmp_path):
    """Word vectors of some of the toy vocabulary's words, and the same as (23, 4), zero where a word has none."""
    vectors = np.random.default_rng(5).normal(size=(23, 4)).astype("float32")
    vectors[15:] = 0  # words of the noise, ids 18 and above
    rows = [f"word{number} " + " ".join(f"{value:.6f}" for value in vectors[number]) for number in range(15)]
    file = tmp_path / "vectors.txt"
    file.write_text("\n".join(rows))
    return file, vectors


def with_vectors(split, file):
    text = dataclasses.replace(split.config.text, embeddings=str(file))
    return dataclasses.replace(split, config=dataclasses.replace(split.config, text=text))


def test_word_vectors_stand_beside_bags_at_their_weight(toy_split, vectors_file):
    file, vectors = vectors_file
    train, validation = (with_vectors(toy_split(name, images=30), file) for name in ("train", "validation"))
    plain, bags = BagsOfWords(train), BagsOfWords(train, vector_weight=0.5)
    columns = np.unique(train.word_ids[train.word_ids >= 3]) - 3

    def meanings(tf_idf):
        rows = tf_idf @ vectors[columns]
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    centre = meanings(plain.sentences(train).toarray()).mean(axis=0)
    for split in (train, validation):
        tf_idf, both = plain.sentences(split).toarray(), bags.sentences(split).toarray()
        np.testing.assert_array_equal(both[:, : len(columns)], tf_idf)
        np.testing.assert_allclose(both[:, len(columns) :], 0.5 * (meanings(tf_idf) - centre), atol=1e-5)


def test_words_of_no_training_text_are_known_by_their_vectors(toy_split, vectors_file):
    file, vectors = vectors_file
    added = np.float32([[1, 0, 0, 0], [0, 2, 0, 0]])
    with file.open("a") as out:
        out.writelines(f"\nnew{number} " + " ".join(map(str, row)) for number, row in enumerate(added))
    train, validation = (with_vectors(toy_split(name, images=30), file) for name in ("train", "validation"))
    known = validation.word_ids.copy()
    known[:2] = 0
    known[0, :4], known[1, :3] = [4, 26, 1, 27], [27, 27, 1]  # the vocabulary's 23 words have the ids 3 to 25
    expanded = dataclasses.replace(validation, known_word_ids=known, added_words=["new0", "new1"])
    bags = BagsOfWords(dataclasses.replace(train, added_words=["new0", "new1"]), vector_weight=0.5)
    found = bags.sentences(expanded).toarray()

    plain = BagsOfWords(train, vector_weight=0.5)
    without = plain.sentences(validation).toarray()
    np.testing.assert_allclose(found[2:], without[2:], atol=1e-6)
    np.testing.assert_array_equal(bags.sentences(train).toarray(), plain.sentences(train).toarray())
    columns = np.unique(train.word_ids[train.word_ids >= 3])
    training = [set(row[row >= 3]) for row in train.word_ids]
    idf = {word: np.log((1 + len(training)) / (1 + sum(word in text for text in training))) + 1 for word in (4, 26, 27)}
    assert idf[26] > idf[4]
    rows = idf[4] * vectors[1] + idf[26] * added[0] + idf[27] * added[1], (1 + np.log(2)) * idf[27] * added[1]
    trained = BagsOfWords(train).sentences(train).toarray() @ vectors[columns - 3]
    centre = (trained / np.maximum(np.linalg.norm(trained, axis=1, keepdims=True), 1e-12)).mean(axis=0)
    for text, row in enumerate(rows):
        np.testing.assert_allclose(found[text, len(columns) :], 0.5 * (row / np.linalg.norm(row) - centre), atol=1e-5)
    np.testing.assert_array_equal(found[0, : len(columns)], columns == 4)  # tf-idf's columns know trained words alone
    assert not found[1, : len(columns)].any()


def test_without_pre_trained_vectors_bags_are_tf_idf_alone(toy_split):
    train = toy_split("train", images=20)
    bags = [BagsOfWords(train, vector_weight=weight).sentences(train).toarray() for weight in (0.0, 1.0)]
    np.testing.assert_array_equal(*bags)


def test_words_of_which_none_has_a_vector_are_tf_idf_alone(toy_split, tmp_path):
    file = tmp_path / "vectors.txt"
    file.write_text("elsewhere 0.5 1.0")
    train = toy_split("train", images=20)
    plain, bags = BagsOfWords(train), BagsOfWords(with_vectors(train, file), vector_weight=1.0)
    rows = bags.sentences(train).toarray()
    np.testing.assert_array_equal(rows[:, :-1], plain.sentences(train).toarray())
    assert not rows[:, -1].any()


@pytest.mark.parametrize("power", [1.0, 4.0])
def test_cca_equals_the_canonical_variates_of_plain_linear_algebra(toy_split, power):
    train, validation = toy_split("train", images=60), toy_split("validation", images=15)
    components = 12
    score = cca.fit(train, validation, cca.Settings(components, power), 0, HERE)

    bags = BagsOfWords(train)
    reduction = TruncatedSVD(components, random_state=0)
    texts, images = reduction.fit_transform(bags.sentences(train)), train.image_vectors[train.collection.text_image, 0]
    text_mean, image_mean = texts.mean(0), images.mean(0)
    text_basis, text_triangle = np.linalg.qr(texts - text_mean)
    image_basis, image_triangle = np.linalg.qr(np.float64(images - image_mean))
    left, correlations, right = np.linalg.svd(text_basis.T @ image_basis)
    projected = (reduction.transform(bags.sentences(validation)) - text_mean) @ np.linalg.solve(text_triangle, left)
    seen = (validation.image_vectors[:, 0] - image_mean) @ np.linalg.solve(image_triangle, right.T)
    projected, seen = (side * correlations**power for side in (projected, seen))
    cosines = (projected / np.linalg.norm(projected, axis=1, keepdims=True)) @ (
        seen / np.linalg.norm(seen, axis=1, keepdims=True)
    ).T
    np.testing.assert_allclose(score(validation), cosines, atol=2e-3)


def test_ccas_ridge_is_added_to_the_variances_of_both_sides(toy_split):
    train, validation = toy_split("train", images=60), toy_split("validation", images=15)
    settings = cca.Settings(12, 1.0, image_ridge=0.5, text_ridge=0.2)
    score = cca.fit(train, validation, settings, 0, HERE)

    bags = BagsOfWords(train)
    reduction = TruncatedSVD(12, random_state=0).fit(bags.sentences(train))
    pairs = train.collection.text_image
    sides = [np.float64(reduction.transform(bags.sentences(train))), np.float64(train.image_vectors[pairs, 0])]
    seen = [reduction.transform(bags.sentences(validation)), validation.image_vectors[:, 0]]
    means = [side.mean(0) for side in sides]
    covariances, roots = [np.cov(side.T, ddof=1) for side in sides], []
    covariances[1] = np.cov(np.float64(train.image_vectors[:, 0]).T, ddof=1)  # of pictures
    for covariance, ridge in zip(covariances, (0.2, 0.5), strict=True):
        values, vectors = np.linalg.eigh(covariance + ridge * np.trace(covariance) / 12 * np.eye(12))
        roots.append(vectors / np.sqrt(values) @ vectors.T)
    cross = (sides[0] - means[0]).T @ (sides[1] - means[1]) / len(pairs)
    left, correlations, right = np.linalg.svd(roots[0] @ cross @ roots[1])
    texts = (seen[0] - means[0]) @ roots[0] @ left * correlations
    images = (seen[1] - means[1]) @ roots[1] @ right.T * correlations
    cosines = (texts / np.linalg.norm(texts, axis=1, keepdims=True)) @ (
        images / np.linalg.norm(images, axis=1, keepdims=True)
    ).T
    np.testing.assert_allclose(score(validation), cosines, atol=2e-3)


def test_whitening_leaves_out_components_that_hold_rounding_errors_alone():
    random = np.random.default_rng(0)
    rows = np.float32(random.normal(size=(50, 3)) @ random.normal(size=(3, 10)) + 5)
    white = cca.Whitening(rows, 10, 0.0, 0)(rows)
    assert white.shape == (50, 3)
    np.testing.assert_allclose(np.cov(white.T), np.eye(3), atol=1e-3)


def test_cca_of_texts_that_all_say_the_same_tells_nothing_and_does_not_fail(toy_split):
    train, validation = toy_split("train", images=20), toy_split("validation", images=6)
    for split in (train, validation):
        split.word_ids[:] = 0
        split.word_ids[:, 0] = 5
    for settings in cca.METHOD.grid:
        scores = cca.fit(train, validation, settings, 0, HERE)(validation)
        assert scores.shape == (12, 6)
        assert np.isfinite(scores).all()


def test_semantic_matching_is_the_agreement_of_posteriors(toy_split):
    train, validation = toy_split("train"), toy_split("validation", images=15)
    score = semantic_matching.fit(train, validation, semantic_matching.Settings(), 0, HERE)
    scores = score(validation)
    assert scores.min() >= 0
    assert scores.max() <= 1
    right = validation.labels.argmax(1)
    for image in range(3):  # of the classes a, b, c
        means = [scores[validation.text_labels.argmax(1) == number, image].mean() for number in range(3)]
        assert np.argmax(means) == right[image]


def test_items_of_several_classes_are_examples_of_each_and_unlabelled_ones_of_none(toy_split):
    train = toy_split("train", images=30)
    labels = train.labels.copy()
    labels[0], labels[1] = (1, 1, 0), 0
    several = dataclasses.replace(train, records=dataclasses.replace(train.records, labels=labels))
    classifier = semantic_matching._classifier(several.image_vectors[:, 0], labels, 1.0)
    assert classifier.classes_.tolist() == [0, 1, 2]
    expected = semantic_matching._classifier(
        np.concatenate([train.image_vectors[[0, 0], 0], train.image_vectors[2:, 0]]),
        np.concatenate([[[1, 0, 0], [0, 1, 0]], train.labels[2:]]),
        1.0,
    )
    np.testing.assert_allclose(classifier.coef_, expected.coef_, atol=1e-6)
