import numpy as np
import pytest

from dafsn_tf.data.word_vectors import check_width, initial_embeddings, pack, word_vectors
from dafsn_tf.errors import ConfigError, DataError
from dafsn_tf.preprocessing.text import build_vocabulary

LINES = "dog 1 0 2\ncat 3 1 0\n, 9 9 9\nbird 0 -4 1\n"


@pytest.fixture
def glove(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text(LINES)
    return path


def test_vectors_of_known_words_in_the_vocabulary_s_order(glove):
    found, vectors = word_vectors(str(glove), ["bird", "unicorn", "dog"])
    assert found.tolist() == [True, False, True]
    assert vectors.tolist() == [[0, -4, 1], [1, 0, 2]]


def test_words_of_a_file_are_folded_as_texts_are_and_the_exact_form_wins(glove):
    forms = ("Straße", "Hund", "HUND", "Haus", "haus", "λόγος", "Ｃafé", "aujourd’hui")
    glove.write_text("".join(f"{form} {number} 0 0\n" for number, form in enumerate(forms, start=1)))
    words = ["strasse", "hund", "haus", "λόγοσ", "café", "aujourd'hui", "katze"]
    found, vectors = word_vectors(str(glove), words)
    assert found.tolist() == [*[True] * 6, False]
    assert vectors[:, 0].tolist() == [1, 2, 5, 6, 7, 8]
    assert sorted(build_vocabulary(["Straße Hund Haus λόγος Ｃafé aujourdʼhui"], 10, 1)) == sorted(words[:6])


def test_fasttext_files_begin_with_their_size(glove):
    glove.write_text("4 3\n" + LINES)
    assert word_vectors(str(glove), ["cat"])[1].tolist() == [[3, 1, 0]]


def test_embeddings_begin_with_the_vectors_and_stay_random_elsewhere(glove):
    random = np.random.default_rng(0).uniform(-0.1, 0.1, (3, 5)).astype("float32")
    rows, count = initial_embeddings(random, str(glove), ["bird", "unicorn", "dog"])
    assert count == 2
    np.testing.assert_array_equal(rows[1], random[1])
    np.testing.assert_array_equal(rows[:, 3:], random[:, 3:])
    assert rows[[0, 2], :3].std() == pytest.approx(0.1, rel=1e-5)
    assert rows[0, 1] / rows[2, 2] == pytest.approx(-2, rel=1e-5)


def test_shipped_vectors_know_that_a_dog_is_like_a_puppy():
    found, vectors = word_vectors("glove", ["dog", "puppy", "guitar", "frisbee", "qqqqq"])
    assert found.tolist() == [True, True, True, True, False]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > unit[0] @ unit[2] + 0.2


def test_packed_vectors_are_the_source_s_to_eight_bits(glove, tmp_path):
    pack(glove, tmp_path / "packed.npz", words=2)
    with np.load(tmp_path / "packed.npz") as file:
        assert file["words"].tobytes().decode().split("\n") == ["dog", "cat"]  # a comma is no word
        np.testing.assert_allclose(file["values"] * file["scale"], [[1, 0, 2], [3, 1, 0]], atol=3 / 127)


def test_numbers_of_words_that_are_not_asked_for_are_only_counted(glove):
    glove.write_text("cat 3 1 0\nother x y z\n")
    assert word_vectors(str(glove), ["cat"])[1].tolist() == [[3, 1, 0]]
    with pytest.raises(DataError, match=r"line 2: expected a word and 3 numbers"):
        word_vectors(str(glove), ["cat", "other"])


@pytest.mark.parametrize("line", ["dog 1 0", "dog 1 0 x", "dog 1 0 nan", "other 1 0"])
def test_a_line_of_another_form_is_named(glove, line):
    glove.write_text("cat 1 2 3\n" + line + "\n")
    with pytest.raises(DataError, match=r"vectors\.txt, line 2: expected a word and 3 numbers"):
        word_vectors(str(glove), ["dog"])


def test_a_missing_file_and_too_wide_vectors_are_named(glove, tmp_path):
    with pytest.raises(ConfigError, match="which is no file"):
        word_vectors(str(tmp_path / "absent.txt"), ["dog"])
    with pytest.raises(ConfigError, match=r"have 3 values, text\.embedding_dim is 2"):
        initial_embeddings(np.zeros((1, 2), "float32"), str(glove), ["dog"])
    with pytest.raises(ConfigError, match=r"have 3 values, text\.embedding_dim is 2"):
        check_width(str(glove), 2)
    with pytest.raises(ConfigError, match=r"glove have 100 values, text\.embedding_dim is 99: set .* to 100 or more"):
        check_width("glove", 99)
    check_width("glove", 100)
