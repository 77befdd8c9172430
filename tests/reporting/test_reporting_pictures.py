import numpy as np
import pytest
from PIL import Image

from dafsn_tf.errors import DataError
from dafsn_tf.reporting.pictures import Found, fitted, gallery

BLUE, VERMILION = (0, 114, 178), (213, 94, 0)


def found(relevant, size=(40, 30), mode="RGB"):
    return Found(Image.new(mode, size), 0.5, relevant)


def pixels(path):
    return np.asarray(Image.open(path))


def count(path, colour):
    return int((pixels(path) == colour).all(2).sum())


def test_a_match_has_a_thick_blue_frame_and_a_miss_a_thin_one(tmp_path):
    gallery(["a star"], [[found(True)]], tmp_path / "match.png")
    gallery(["a star"], [[found(False)]], tmp_path / "miss.png")
    assert count(tmp_path / "match.png", VERMILION) == 0
    assert count(tmp_path / "miss.png", BLUE) == 0
    frame = 4 * 168  # pixels of a frame one pixel thick
    assert count(tmp_path / "match.png", BLUE) > 4.5 * frame
    assert frame <= count(tmp_path / "miss.png", VERMILION) < 1.3 * frame


def test_a_gallery_has_a_row_a_query_and_a_column_a_result(tmp_path):
    gallery(["one"], [[found(True)]], tmp_path / "1x1.png")
    gallery(["one", "two"], [[found(True)] * 3, []], tmp_path / "2x3.png")
    (height, width), (taller, wider) = (pixels(tmp_path / name).shape[:2] for name in ("1x1.png", "2x3.png"))
    assert wider - width == 2 * (168 + 14)
    assert taller - height == 168 + 24 + 14


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16", "LA"])
def test_pictures_of_any_mode_and_shape(tmp_path, mode):
    gallery(["any"], [[found(True, (300, 2), mode), found(False, (1, 500), mode)]], tmp_path / "g.png")
    assert pixels(tmp_path / "g.png").ndim == 3


@pytest.mark.parametrize(("size", "drawn"), [((2400, 40), (200, 50)), ((1, 900), (50, 200)), ((300, 200), (200, 133))])
def test_a_strip_is_drawn_less_long(size, drawn):
    assert fitted(Image.new("RGB", size), 200).size == drawn


def test_pictures_are_drawn_as_models_see_them(tmp_path):
    clear, dim = Image.new("RGBA", (30, 30), (0, 0, 0, 0)), Image.new("I;16", (30, 30), 0x4000)
    gallery(["any"], [[Found(clear, 0.5, None), Found(dim, 0.5, None)]], tmp_path / "g.png")
    middle = pixels(tmp_path / "g.png")[14 + 84, [230 + 28 + 84, 230 + 28 + 84 + 168 + 14]]
    assert middle.tolist() == [[255] * 3, [0x40] * 3]


@pytest.mark.parametrize(
    "query",
    ["", "word " * 500, "x" * 3000, "über 日本語 العربية 😀", "a lone \ud800 surrogate", "two\nlines\tand tabs"],
)
def test_texts_of_any_length_and_script_stay_in_their_column(tmp_path, query):
    gallery([query], [[found(False)]], tmp_path / "g.png")
    sheet = pixels(tmp_path / "g.png")
    assert sheet.shape[:2] == (168 + 24 + 2 * 14, 230 + 168 + 3 * 14)
    assert (sheet[:, 232:244] == 255).all()
    assert (sheet[-10:] == 255).all()


def test_a_gallery_of_nothing_is_refused(tmp_path):
    with pytest.raises(DataError, match="found 0 and 0"):
        gallery([], [], tmp_path / "g.png")
    with pytest.raises(DataError, match="found 2 and 1"):
        gallery(["a", "b"], [[found(True)]], tmp_path / "g.png")


def test_a_folder_is_made_and_nothing_else_is_left_in_it(tmp_path):
    gallery(["one"], [[found(True)]], tmp_path / "new" / "folder" / "g.png")
    assert [entry.name for entry in (tmp_path / "new" / "folder").iterdir()] == ["g.png"]


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"g\.png cannot be written"):
        gallery(["one"], [[found(True)]], tmp_path / "file" / "g.png")


def test_a_failure_leaves_the_former_picture_alone(tmp_path):
    gallery(["one"], [[found(True)]], tmp_path / "g.png")
    before = (tmp_path / "g.png").read_bytes()
    with pytest.raises(DataError):
        gallery(["one", "two"], [[found(True)]], tmp_path / "g.png")
    assert (tmp_path / "g.png").read_bytes() == before
