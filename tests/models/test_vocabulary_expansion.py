import numpy as np
import pytest
import tensorflow as tf
from test_dafsn import batch, tiny_model

from dafsn_tf.config import load_config
from dafsn_tf.models import DAFSN
from dafsn_tf.models.presets import Assets, load_heads
from dafsn_tf.models.vocabulary_expansion import predicted_embeddings, with_added_words


def by_loops(vectors, embeddings, others, ridge):
    """Return ridge regression's predictions by gradient descent on its objective, in float64."""
    mean, embedding_mean = vectors.mean(axis=0), embeddings.mean(axis=0)
    inputs, targets = vectors - mean, embeddings - embedding_mean
    weight = ridge * (inputs**2).sum() / inputs.shape[1]
    map_ = np.zeros((vectors.shape[1], embeddings.shape[1]))
    step = 1 / (np.linalg.norm(inputs, 2) ** 2 + weight)
    for _ in range(5000):
        map_ -= step * (inputs.T @ (inputs @ map_ - targets) + weight * map_)
    return np.stack([(other - mean) @ map_ + embedding_mean for other in others])


def test_predictions_are_those_of_ridge_regression():
    random = np.random.default_rng(0)
    vectors, embeddings, others = (random.normal(size=size) for size in ((12, 3), (12, 5), (4, 3)))
    found = predicted_embeddings(vectors, embeddings, others)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_loops(vectors, embeddings, others, ridge=0.1), atol=1e-5)


def test_words_with_one_known_vector_alone_have_its_embedding():
    found = predicted_embeddings(np.ones((1, 3)), np.full((1, 2), 7.0), np.zeros((2, 3)))
    np.testing.assert_allclose(found, 7.0)


@pytest.fixture
def known():
    """Return a trained model, its words, those that are added, and vectors by id; every other word has one."""
    model = tiny_model()
    model.fit(tf.data.Dataset.from_tensors(batch()), verbose=0)
    words = tuple(f"word{number}" for number in range(16))
    vectors = np.random.default_rng(0).normal(size=(model.vocabulary_size + 2, 3))
    vectors[: model.vocabulary_size - len(words)] = 0  # padding and out-of-vocabulary ids
    vectors[model.vocabulary_size - len(words) + 1 : model.vocabulary_size : 2] = 0
    return model, words, ("other", "third"), vectors


def test_a_model_answers_as_before_and_knows_the_added_words(known):
    model, _, _, vectors = known
    larger = with_added_words(model, vectors)
    data = batch(seed=1)
    for name, values in model(data).items():
        np.testing.assert_allclose(larger(data)[name], values, atol=1e-6, err_msg=name)
    first = model.vocabulary_size
    ids = np.array([[first, 0], [first + 1, 0]], "int32")
    sentences = larger.encode_texts(ids)["sentence_features"].numpy()
    assert np.abs(sentences[0] - sentences[1]).max() > 1e-4


def test_a_model_that_is_passed_on_keeps_its_added_words_apart(known, tmp_path):
    model, words, others, vectors = known
    larger = with_added_words(model, vectors)
    info = {"dataset": "toy", "classes": ["a", "b", "c"], "documents": False, "seed": 0, "backbone_fingerprint": None}
    larger.assets = Assets((*words, *others), {"weight": 0.5}, info, added=2)
    folder = larger.save_to_preset(tmp_path / "toy")
    assert (folder / "vocabulary.txt").read_text().split("\n") == list(words)
    assert (folder / "added_words.txt").read_text().split("\n") == list(others)
    assert "16 words, those of training texts, in their language, and 2 others by their word vectors alone" in (
        folder / "README.md"
    ).read_text().replace("\n", " ")
    again = load_heads(folder)
    assert again.assets.vocabulary == (*words, *others)
    assert again.assets.trained_words == words


def test_what_is_passed_on_grows_by_the_vectors_of_added_words_alone(known, tmp_path):
    model, words, _, vectors = known
    rng, others = np.random.default_rng(1), [f"other{number}" for number in range(2000)]
    many = np.concatenate([vectors[: len(vectors) - 2], rng.normal(size=(2000, vectors.shape[1]))]).astype("float32")
    info = {"dataset": "toy", "classes": ["a", "b", "c"], "documents": False, "seed": 0, "backbone_fingerprint": None}
    sizes = {}
    for name, larger, added in (("few", model, []), ("many", with_added_words(model, many), others)):
        larger.assets = Assets((*words, *added), {"weight": 0.5}, info, added=len(added))
        sizes[name] = (larger.save_to_preset(tmp_path / name) / "heads.npz").stat().st_size
    width = larger.config.text.embedding_dim
    assert vectors.shape[1] + 1 < width
    assert sizes["many"] - sizes["few"] < 2 * 2000 * (vectors.shape[1] + 1) + 4096
    ours, theirs = larger.text_encoder, load_heads(tmp_path / "many").text_encoder
    expected = ours.embedding.embeddings.numpy()
    np.testing.assert_allclose(theirs.embedding.embeddings.numpy(), expected, atol=2e-3 * np.abs(expected).max())


def test_added_words_that_training_texts_have_all_the_same_keep_their_own_rows(tmp_path):
    sizes = ["model.dim=8", "model.canonical_dim=20", "text.embedding_dim=30", "text.oov_buckets=2"]
    config = load_config("flickr8k", [*sizes, "image.image_size=75", "discriminator.hidden_dim=4"])
    words, added = ["a", "dog"], [f"other{number}" for number in range(600)]
    model = DAFSN(config, 3 + len(words) + len(added), include_backbone=False)
    model.build()
    rng = np.random.default_rng(0)
    vectors, seen = rng.normal(size=(len(added), 5)), rng.choice(len(added), 40, replace=False)
    canonical, embedding = model.canonical, model.text_encoder.embedding.embeddings
    embedding.assign(np.concatenate([rng.normal(size=(5, 30)), vectors @ rng.normal(size=(5, 30))]))
    rows, idf = np.concatenate([rng.normal(size=(5, 20)), vectors @ rng.normal(size=(5, 20))]), np.full(605, 9.0)
    rows[5 + seen] += rng.normal(size=(40, 20))
    idf[:3], idf[5 + seen] = 0, 8.0
    canonical.rows.assign(rows)
    canonical.idf.assign(idf)
    info = {"dataset": "toy", "classes": [], "documents": False, "seed": 0, "backbone_fingerprint": "f" * 64}
    model.assets = Assets((*words, *added), {"weight": 0.5}, info, added=len(added))
    folder = model.save_to_preset(tmp_path / "toy")
    with np.load(folder / "heads.npz") as stored:
        assert stored["added/words"].shape == (560, 5)
        assert stored["added/rows"].shape == (40, 50)
    again = load_heads(folder)
    for ours, theirs in ((canonical.rows, again.canonical.rows), (embedding, again.text_encoder.embedding.embeddings)):
        np.testing.assert_allclose(theirs.numpy(), ours.numpy(), atol=5e-3)
    np.testing.assert_array_equal(again.canonical.idf.numpy(), canonical.idf.numpy())
