import numpy as np
import pytest
from PIL import Image

from dafsn_tf.errors import DataError, RunError
from dafsn_tf.reporting.pictures import Found, attention_sheet, gallery, heat_map

BLUE, VERMILION = (0, 114, 178), (213, 94, 0)
EVEN = (np.arange(3) + 0.5) / 3
CENTRES = np.stack(np.meshgrid(EVEN, EVEN), -1).reshape(-1, 2)  # 3 x 3


def found(relevant, size=(40, 30), mode="RGB"):
    return Found(Image.new(mode, size), 0.5, relevant)


def pixels(path):
    return np.asarray(Image.open(path))


def count(path, colour):
    return int((pixels(path) == colour).all(2).sum())


def flat(words):
    return np.full((words, 9), 1 / 9)


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


def test_heat_peaks_at_the_centre_of_its_region():
    for region, (x, y) in enumerate(CENTRES):
        heat = heat_map(np.eye(9)[region], CENTRES, width=90, height=60)
        assert heat.shape == (60, 90)
        assert (heat.min(), heat.max()) == (0.0, 1.0)
        assert heat[int(y * 60), int(x * 90)] > 0.8


def test_heat_follows_the_true_centres_not_an_even_tiling():
    centres = np.array([[0.1, 0.5], [0.2, 0.5]])  # both in the left half
    heat = heat_map(np.array([0.0, 1.0]), centres, width=100, height=10)
    assert heat[5, 5] < 0.05
    assert heat[5, 15] == pytest.approx(0.5, abs=0.1)
    assert heat[5, 20] > 0.9


def test_heat_is_finite_far_from_every_centre():
    heat = heat_map(np.array([0.3, 0.7]), np.array([[0.5, 0.5], [0.501, 0.5]]), width=50, height=50)
    assert np.isfinite(heat).all()
    assert heat[25, 49] == 1.0


@pytest.mark.parametrize("attention", [np.full(9, 1 / 9), np.zeros(9)])
def test_flat_attention_has_no_heat(attention):
    np.testing.assert_array_equal(heat_map(attention, CENTRES, 12, 8), np.zeros((8, 12)))


def test_one_region_has_no_heat():
    np.testing.assert_array_equal(heat_map(np.ones(1), np.array([[0.5, 0.5]]), 4, 4), np.zeros((4, 4)))


def sheet_size(words, relevance, path):
    attention_sheet(Image.new("RGB", (80, 40)), words, relevance, flat(len(words)), CENTRES, path)
    with Image.open(path) as sheet:
        return sheet.size


def test_the_picture_and_a_panel_for_each_content_word(tmp_path):
    cell = 260 + 14
    path = tmp_path / "a.png"
    assert sheet_size(["a", "small", "star"], [0.1, 0.2, 0.3], path)[0] == 3 * cell + 14
    assert sheet_size(["the", "of"], [0.1, 0.2], path)[0] == 3 * cell + 14  # nothing else to show
    four = sheet_size(["one", "two", "three"], [0.1, 0.2, 0.3], path)
    eight = sheet_size(["w"] * 7, [0.1] * 7, path)
    assert four[0] == eight[0] == 4 * cell + 14
    assert eight[1] - four[1] == 130 + 26 + 14
    assert sheet_size(["w"] * 40, [0.1] * 40, path)[1] - four[1] < 4 * (130 + 26 + 14)


def test_the_peak_is_marked_in_the_panel_of_its_word(tmp_path):
    attention = np.eye(9)[[5]]  # middle row, right column
    attention_sheet(Image.new("RGB", (260, 260), "grey"), ["star"], [0.5], attention, CENTRES, tmp_path / "a.png")
    sheet = pixels(tmp_path / "a.png").astype(int)
    panel = sheet[-260 - 14 + 12 :, 14 + 260 + 14 : 14 + 260 + 14 + 260][:260]
    rows, columns = np.nonzero((panel[:240] == 255).all(2) & (np.arange(260) > 20))
    assert columns.mean() == pytest.approx(260 * 5 / 6, abs=2)
    assert rows.std() < 8


def test_scripts_beyond_ascii(tmp_path):
    words = ["größe", "狗", "كلب", "\ud800", "😀"]
    assert sheet_size(words, [0.1] * 5, tmp_path / "a.png")[0] > 0


def test_shapes_that_do_not_fit_are_refused(tmp_path):
    picture = Image.new("RGB", (8, 8))
    with pytest.raises(RunError, match=r"of shape \(1, 9\); found 1 relevances and attention \(2, 9\)"):
        attention_sheet(picture, ["star"], [0.5], flat(2), CENTRES, tmp_path / "a.png")
    with pytest.raises(RunError, match="found 2 relevances"):
        attention_sheet(picture, ["star"], [0.5, 0.5], flat(1), CENTRES, tmp_path / "a.png")
    with pytest.raises(RunError, match="NaN or infinity"):
        attention_sheet(picture, ["star"], [0.5], flat(1) * np.nan, CENTRES, tmp_path / "a.png")
    with pytest.raises(DataError, match="at least one word"):
        attention_sheet(picture, [], [], flat(0), CENTRES, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
