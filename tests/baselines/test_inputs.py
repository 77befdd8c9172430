from dataclasses import replace

import numpy as np
import pytest

from dafsn_tf.baselines.inputs import Inputs
from dafsn_tf.config import load_config
from dafsn_tf.data.records import open_split
from dafsn_tf.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("colour_backbone")


@pytest.fixture(scope="module")
def data(prepared):
    return prepared()


def test_a_split_has_the_cached_features_standardised_and_the_tokenisers_words(data, config):
    inputs, variants = Inputs(data, config), 2 if config.image.augmentation == "flip" else 1
    train, validation = inputs.open("train"), inputs.open("validation")
    assert train.image_vectors.shape == (18, variants, 2048)
    assert validation.image_vectors.shape == (6, 1, 2048)
    np.testing.assert_allclose(train.image_vectors[:, 0].mean(axis=0), 0, atol=1e-3)
    assert train.image_vectors[:, 0].std() == pytest.approx(1, abs=0.01)
    assert train.word_ids.shape == (36, config.text.max_words)
    assert train.word_ids.max() == train.first_word + len(train.vocabulary) - 1
    assert train.collection.text_image.tolist() == np.repeat(np.arange(18), 2).tolist()
    np.testing.assert_array_equal(train.text_labels[::2], train.labels)
    assert train.collection.documents


def test_of_a_large_validation_split_the_images_are_opened_that_choices_are_made_by(data, config):
    fewer = replace(config, evaluation=replace(config.evaluation, selection_images=3))
    whole, sample = Inputs(data, config).open("validation"), Inputs(data, fewer).open("validation")
    drawn = [whole.records.ids.index(identity) for identity in sample.records.ids]
    assert len(set(drawn)) == 3
    np.testing.assert_array_equal(sample.image_vectors, whole.image_vectors[drawn])
    np.testing.assert_array_equal(sample.word_ids, whole.word_ids.reshape(6, 2, -1)[drawn].reshape(6, -1))
    assert len(Inputs(data, fewer).open("test").records) == len(open_split(data, "test"))
    measured = Inputs(data, fewer).open("validation", whole=True)
    assert measured.records.ids == whole.records.ids
    assert len(measured.image_vectors) == len(measured.collection.labels) == len(measured.records)


def test_words_of_other_splits_are_out_of_the_vocabulary(data, config):
    inputs = Inputs(data, config)
    number = inputs.open("validation").word_ids[1, 1]  # "number 9 is ..." where no training text has the 9
    assert 1 <= number <= config.text.oov_buckets


def test_words_known_by_their_vectors_have_ids_after_the_vocabularys(data, config, tmp_path):
    file = tmp_path / "vectors.txt"
    file.write_text("is 1.0 0.0\n9 0.0 1.0\n8 1.0 1.0")
    inputs = Inputs(data, replace(config, text=replace(config.text, embeddings=str(file), added_words=2)))
    split = inputs.open("validation")
    added = split.added_words
    assert added == [word for word in ("9", "8") if word not in split.vocabulary]
    beyond = split.first_word + len(split.vocabulary)
    assert split.known_word_ids[1, 1] == beyond + added.index("9")  # "number 9 is ..."
    same = split.known_word_ids < beyond
    np.testing.assert_array_equal(split.known_word_ids[same], split.word_ids[same])
    assert (split.word_ids[~same] < split.first_word).all()


def test_a_collection_without_labels_has_no_classes(prepared, config):
    collection = Inputs(prepared(labels=False, documents=False), config).open("validation").collection
    assert collection.labels is None
    assert not collection.documents


def test_what_the_features_are_is_described(data, config):
    described = Inputs(data, config).describe()
    assert described["backbone_fingerprint"] == "c" * 64
    assert (described["region_layer"], described["max_words"]) == ("mixed7", config.text.max_words)


def test_a_backbone_that_is_trained_is_refused(data):
    with pytest.raises(ConfigError, match=r"trains its backbone 'small_cnn'.*--config"):
        Inputs(data, load_config("shapes"))


def test_an_absent_split_is_named(data, config):
    with pytest.raises(DataError, match="no split 'tests'"):
        Inputs(data, config).open("tests")


@pytest.mark.parametrize("counts", [(3, 1, 2), (1, 4, 0, 2)])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_first_texts_of_each_image_are_kept(toy_split, counts, count):
    whole = toy_split("validation", images=len(counts))
    text_image = np.repeat(np.arange(len(counts)), counts)
    word_ids = np.array([[image, number] for image, texts in enumerate(counts) for number in range(texts)])
    whole = replace(
        whole,
        records=replace(whole.records, texts=[tuple(map(str, range(texts))) for texts in counts]),
        word_ids=word_ids,
        known_word_ids=word_ids + 50,
        collection=replace(whole.collection, text_image=text_image),
    )
    first = whole.first_texts(count)
    expected = [[image, number] for image, texts in enumerate(counts) for number in range(min(texts, count))]
    assert first.word_ids.tolist() == expected
    np.testing.assert_array_equal(first.known_word_ids, np.array(expected) + 50)
    assert first.collection.text_image.tolist() == [image for image, _ in expected]
    assert [len(texts) for texts in first.records.texts] == [min(texts, count) for texts in counts]
    assert whole.first_texts(0) is whole


def test_the_training_split_alone_is_opened_to_fit(data, config, monkeypatch):
    opened = []
    monkeypatch.setattr(
        "dafsn_tf.baselines.inputs.open_split", lambda data, split: opened.append(split) or open_split(data, split)
    )
    Inputs(data, config)
    assert set(opened) == {"train"}
