import pytest

from dafsn_tf.data.problems import Problems
from dafsn_tf.data.sources import flickr8k
from dafsn_tf.errors import DataError


@pytest.fixture
def source(tmp_path):
    (tmp_path / "Flicker8k_Dataset").mkdir()
    captions = []
    for name in "abcdef":
        (tmp_path / "Flicker8k_Dataset" / f"{name}.jpg").write_bytes(b"decoded later")
        captions += [f"{name}.jpg#1\tsecond {name}", f"{name}.jpg#0\tfirst {name}"]
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join([*captions, "stray.jpg.1#0\tno photograph"]) + "\n")
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("d.jpg\na.jpg\nb.jpg\nc.jpg\n")
    (tmp_path / "Flickr_8k.devImages.txt").write_bytes(b"e.jpg\r\n")
    (tmp_path / "Flickr_8k.testImages.txt").write_text("f.jpg")
    return tmp_path


def read(source):
    problems = Problems()
    return list(flickr8k.read(source, problems)), problems


def test_six_items_in_the_order_of_the_lists(source):
    items, problems = read(source)
    assert [(item.id, item.split) for item in items] == [
        ("d.jpg", "train"),
        ("a.jpg", "train"),
        ("b.jpg", "train"),
        ("c.jpg", "train"),
        ("e.jpg", "validation"),
        ("f.jpg", "test"),
    ]
    assert items[1].texts == ("first a", "second a")
    assert items[1].image == source / "Flicker8k_Dataset/a.jpg"
    assert problems.entries == []
    assert dict(problems.skipped) == {"captioned name in no split": 1}


def test_listed_names_need_a_photograph_and_a_caption(source):
    (source / "Flicker8k_Dataset/a.jpg").unlink()
    (source / "Flicker8k_Dataset/g.jpg").write_bytes(b"")
    (source / "Flickr_8k.testImages.txt").write_text("f.jpg\ng.jpg\n")
    items, problems = read(source)
    assert [item.id for item in items] == ["d.jpg", "b.jpg", "c.jpg", "e.jpg", "f.jpg"]
    assert [(problem.kind, problem.path) for problem in problems.entries] == [
        ("missing_image", str(source / "Flicker8k_Dataset/a.jpg")),
        ("missing_text", str(source / "Flicker8k_Dataset/g.jpg")),
    ]
    assert problems.entries[0].detail == f"{source}/Flickr_8k.trainImages.txt:2 names it"


def test_bad_and_repeated_caption_lines(source):
    with (source / "Flickr8k.token.txt").open("a") as file:
        file.write("\na.jpg#0\tfirst again\na.jpg\tno number\n")
    items, problems = read(source)
    assert items[1].texts == ("first a", "second a")
    assert [(problem.kind, problem.path.rpartition(":")[2]) for problem in problems.entries] == [
        ("repeated_id", "15"),
        ("bad_line", "16"),
    ]


def test_a_name_in_two_lists_is_an_error(source):
    (source / "Flickr_8k.testImages.txt").write_text("f.jpg\na.jpg\n")
    with pytest.raises(DataError, match=r"testImages.txt:2 names a.jpg, which Flickr_8k.trainImages.txt names too"):
        read(source)


def test_texts_in_a_folder_of_their_own(source):
    (source / "Flickr8k_text").mkdir()
    for path in list(source.glob("*.txt")):
        path.rename(source / "Flickr8k_text" / path.name)
    assert len(read(source)[0]) == 6


@pytest.mark.parametrize("missing", ["Flickr8k.token.txt", "Flickr_8k.devImages.txt"])
def test_missing_file_is_named(source, missing):
    (source / missing).unlink()
    with pytest.raises(DataError, match=f"expected {missing}, found Flicker8k_Dataset/, "):
        read(source)


def test_missing_photographs_are_named(tmp_path):
    with pytest.raises(DataError, match=r"expected Flicker8k_Dataset/, found an empty folder\."):
        read(tmp_path)


@pytest.mark.data
def test_the_real_collection(shared_data):
    items, problems = read(shared_data / "flickr8k")
    assert [sum(item.split == split for item in items) for split in ("train", "validation", "test")] == [
        6000,
        1000,
        1000,
    ]
    assert {len(item.texts) for item in items} == {5}
    assert problems.entries == []
    assert dict(problems.skipped) == {"captioned name in no split": 92}
