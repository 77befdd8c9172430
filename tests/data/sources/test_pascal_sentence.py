import pytest

from dafsn_tf.data.problems import Problems
from dafsn_tf.data.sources import pascal_sentence
from dafsn_tf.errors import DataError


@pytest.fixture
def source(tmp_path):
    for name, count in (("cat", 3), ("dog", 3)):
        for folder in ("dataset", "sentence"):
            (tmp_path / folder / name).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "dataset" / name / f"{name}{number}.jpg").write_bytes(b"decoded later")
            (tmp_path / "sentence" / name / f"{name}{number}.txt").write_text(f"A {name}.\nOne {number}.\n\n")
    return tmp_path


def read(source):
    problems = Problems()
    return list(pascal_sentence.read(source, problems)), problems


def found(problems, source):
    return [(problem.kind, problem.path.removeprefix(f"{source}/")) for problem in problems.entries]


def test_six_items(source):
    items, problems = read(source)
    assert [item.id for item in items] == ["cat0", "cat1", "cat2", "dog0", "dog1", "dog2"]
    assert items[4].texts == ("A dog.", "One 1.")
    assert items[4].labels == ("dog",)
    assert items[4].image == source / "dataset/dog/dog1.jpg"
    assert items[4].split is None
    assert problems.entries == []


def test_scraped_names_without_a_dot(source):
    (source / "sentence/cat/cat1.txt").rename(source / "sentence/cat/cat1txt")
    items, problems = read(source)
    assert items[1].texts == ("A cat.", "One 1.")
    assert len(items) == 6
    assert problems.entries == []


def test_what_lacks_its_other_half_is_reported(source):
    (source / "sentence/cat/cat0.txt").unlink()
    (source / "dataset/dog/dog2.jpg").unlink()
    (source / "dataset/bird").mkdir()
    (source / "dataset/bird/bird0.jpg").write_bytes(b"")
    items, problems = read(source)
    assert [item.id for item in items] == ["cat1", "cat2", "dog0", "dog1"]
    assert found(problems, source) == [
        ("missing_text", "dataset/bird/bird0.jpg"),
        ("missing_text", "dataset/cat/cat0.jpg"),
        ("missing_image", "sentence/dog/dog2.txt"),
    ]


def test_blank_lines_between_sentences_are_kept_for_the_count(source):
    (source / "sentence/cat/cat0.txt").write_text("A cat.\n\nAnother.\n\n\n")
    assert read(source)[0][0].texts == ("A cat.", "", "Another.")


def test_line_that_is_not_utf8_is_reported_and_the_others_kept(source):
    (source / "sentence/cat/cat0.txt").write_bytes(b"\xef\xbb\xbfA cat.\r\nA caf\xe9 cat.\r\nOne more.\r\n")
    items, problems = read(source)
    assert items[0].texts == ("A cat.", "One more.")
    assert found(problems, source) == [("bad_line", "sentence/cat/cat0.txt:2")]
    assert problems.entries[0].detail == "not UTF-8 at byte 6: save it as UTF-8"


def test_other_files_are_counted(source):
    (source / "dataset/cat/Thumbs.db").write_bytes(b"")
    (source / "dataset/cat/.DS_Store").write_bytes(b"")
    items, problems = read(source)
    assert len(items) == 6
    assert dict(problems.skipped) == {"file that is neither photograph nor text": 1}


def test_another_layout_is_named(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "notes.md").write_text("")
    with pytest.raises(DataError, match=r"expected dataset/<class>/<name>.jpg and .*, found images/, notes.md\."):
        pascal_sentence.read(tmp_path, Problems())


@pytest.mark.data
def test_the_real_collection(shared_data):
    items, problems = read(shared_data / "pascal_sentence")
    assert len(items) == 1000
    assert sum(len(item.texts) for item in items) == 4998
    assert len({item.labels for item in items}) == 20
    assert problems.entries == []
