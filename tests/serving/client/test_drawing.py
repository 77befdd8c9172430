"""Pictures of where words looked."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager
from PIL import Image

from dafsn_client import InputError, WordAttention, fonts
from dafsn_client.drawing import attention_figure, write_figure
from dafsn_client.fonts import best_file, drawable, families
from dafsn_client.page import Page

SIDE = 5
EVEN = (np.arange(SIDE) + 0.5) / SIDE
CENTRES = np.stack(np.meshgrid(EVEN, EVEN), -1).reshape(-1, 2)
PHOTOGRAPH = Image.new("RGB", (120, 80), "grey")


def explained(*words, peaks=None, relevances=None):
    regions = peaks or [place % SIDE**2 for place in range(len(words))]
    rows = np.full((len(words), SIDE**2), 0.5 / (SIDE**2 - 1))
    rows[np.arange(len(words)), regions] = 0.5
    return WordAttention(
        text=" ".join(words),
        words=words,
        offsets=np.zeros((len(words), 2), int),
        relevances=np.full(len(words), 0.5) if relevances is None else np.array(relevances),
        attention=rows,
        region_centres=CENTRES,
        scores={"sentence": 0.1, "word": 0.2, "fused": 0.3},
    )


def texts(figure):
    return [text.get_text() for text in figure.texts] + [text.get_text() for axes in figure.axes for text in axes.texts]


def maps(figure):
    """The axes with a photograph under a word's map; the first of all is the photograph itself, the last the scale."""
    return figure.axes[1:-1]


def test_a_map_for_each_word_a_photograph_with_numbers_and_a_scale(tmp_path):
    figure = attention_figure(explained("red", "ring"), PHOTOGRAPH)
    assert len(maps(figure)) == 2
    for part in ("“red ring”", "1  red", "2  ring", "+0.50", "12.5×", "attention, in multiples of an even share"):
        assert part in [*texts(figure), figure.axes[-1].get_xlabel()]
    write_figure(figure, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == 1152


def test_the_scale_of_sharp_attention_ends_at_a_sixteenth_of_an_even_share_and_counts_in_fractions():
    sharp = explained("red", "ring")
    sharp.attention[:] = 1e-7
    sharp.attention[[0, 1], [3, 4]] = 1
    figure = attention_figure(sharp, PHOTOGRAPH)
    figure.canvas.draw()
    (low, high), ticks = figure.axes[-1].get_xlim(), figure.axes[-1].get_xticklabels()
    assert (low, high) == pytest.approx((1 / 16, SIDE**2))
    shown = {tick.get_text() for tick in ticks if low <= tick.get_position()[0] <= high}
    assert "1×" in shown
    assert shown <= {"1/16×", "1/8×", "1/4×", "1/2×", "1×", "2×", "4×", "8×", "16×"}


def test_numbers_stand_at_the_peaks_and_share_a_place_where_peaks_do():
    figure = attention_figure(explained("red", "ring", "star", peaks=[7, 3, 7]), PHOTOGRAPH)
    placed = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert {number: tuple(map(float, place)) for number, place in placed.items()} == {
        "1, 3": pytest.approx(tuple(CENTRES[7])),
        "2": pytest.approx(tuple(CENTRES[3])),
    }


def test_a_map_is_brightest_in_the_frame_of_its_peak():
    figure = attention_figure(explained("red", peaks=[8]), PHOTOGRAPH)  # second row, fourth column
    (axes,) = maps(figure)
    pixels = np.asarray(axes.images[0].get_array())[..., 1]  # viridis rises in green
    row, column = np.unravel_index(pixels.argmax(), pixels.shape)
    x, y = (column + 0.5) / pixels.shape[1], (row + 0.5) / pixels.shape[0]
    assert (x, y) == pytest.approx(CENTRES[8], abs=0.02)
    frame = axes.patches[0].get_bbox()
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == pytest.approx((0.6, 0.8, 0.2, 0.4))


def test_the_photograph_shades_the_map():
    photograph = Image.new("RGB", (100, 100), "white")
    photograph.paste("black", (0, 0, 50, 100))
    (axes,) = maps(attention_figure(explained("red", peaks=[22]), photograph))
    pixels = np.asarray(axes.images[0].get_array())
    assert pixels[5, 10].sum() < 0.6 * pixels[5, -10].sum()  # far from the peak, alike but for the photograph


def test_words_without_a_map_are_told():
    figure = attention_figure(explained("the", "ring", relevances=[0.001, 0.5]), PHOTOGRAPH)
    assert len(maps(figure)) == 1
    assert "No map: the +0.00" in texts(figure)
    every = attention_figure(explained("the", "ring", relevances=[0.001, 0.5]), PHOTOGRAPH, words=[0, 1])
    assert len(maps(every)) == 2


@pytest.mark.parametrize(
    ("count", "size"),
    [(1, (120, 80)), (5, (80, 120)), (1, (900, 30)), (5, (900, 30)), (1, (30, 900)), (5, (1, 1)), (30, (120, 80))],
)
def test_pictures_lie_in_rows_inside_the_figure_and_beside_each_other(count, size):
    attention = explained(*(f"word{place}" for place in range(count)))
    figure = attention_figure(attention, Image.new("RGB", size), max_words=40)
    boxes = [axes.get_position() for axes in figure.axes]
    assert len(boxes) == count + 2
    for place, box in enumerate(boxes):
        assert min(box.x0, box.y0) > 0
        assert max(box.x1, box.y1) < 1
        assert not any(box.overlaps(other) for other in boxes[:place])
    renderer = figure.canvas.get_renderer()
    for text in figure.texts:
        extent = text.get_window_extent(renderer)
        assert extent.x0 >= 0
        assert extent.x1 <= figure.bbox.x1
        assert extent.y0 >= 0


@pytest.mark.parametrize(
    "words",
    [
        ("一", "只", "狗"),
        ("größe", "χρώμα", "звезда"),
        ("كلب",),
        ("😀", "a"),
        ("$x^2$", "\\frac"),
        ("x" * 400,),
        ("tab\tnew\nline", "\x00"),
    ],
)
def test_any_script_is_drawn_without_boxes(words, tmp_path):
    figure = attention_figure(explained(*words), PHOTOGRAPH)
    write_figure(figure, tmp_path / "a.png")  # a glyph that is missing would be a warning, and so an error here
    for text in figure.texts:
        assert text.get_window_extent().x1 <= figure.bbox.x1


def test_a_character_that_no_font_holds_is_written_as_its_code():
    assert drawable("a dog\u3000and\ttwo") == "a dog and two"
    unassigned = "\U000e0fff"
    assert drawable(f"a{unassigned}") == "aU+E0FFF"
    assert families("plain") == ["DejaVu Sans"]
    assert drawable("größe звезда") == "größe звезда"


def test_of_one_font_the_one_is_taken_that_lacks_fewest():
    assert Path(best_file("größe звезда")).name == "DejaVuSans.ttf"
    assert Path(best_file("")).name == "DejaVuSans.ttf"


@pytest.mark.parametrize("folder", ["/a", "/z"])
def test_a_font_of_plain_width_stands_for_its_name_wherever_it_lies(folder, monkeypatch):
    plain = font_manager.FontEntry(fname=f"{folder}/Sans.ttf", name="DejaVu Sans", stretch="normal", weight="normal")
    narrow = font_manager.FontEntry(
        fname="/m/SansCondensed.ttf", name="DejaVu Sans", stretch="condensed", weight="normal"
    )
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [plain, narrow])
    monkeypatch.setattr(fonts, "_files", fonts._files.__wrapped__)  # what was found before is kept otherwise
    assert best_file("") == f"{folder}/Sans.ttf"


@pytest.mark.parametrize(("size", "drawn"), [((2400, 60), (6, 2)), ((40, 4000), (1, 3)), ((300, 200), (4.5, 3))])
def test_strips_are_drawn_less_long(size, drawn):
    page = Page(9.6, Image.new("RGBA", size), "")
    assert page.fit(6, 3) == pytest.approx(drawn)


def test_transparent_pixels_are_white_as_models_see_them():
    page = Page(9.6, Image.new("RGBA", (20, 20), (0, 0, 0, 0)), "")
    page.picture(0, 0, (1, 1), [])
    (axes,) = page.figure(1).axes
    assert (np.asarray(axes.get_images()[0].get_array())[..., :3] == 255).all()


def test_svg_by_the_suffix(tmp_path):
    write_figure(attention_figure(explained("red"), PHOTOGRAPH), tmp_path / "a.SVG")
    assert "<svg" in (tmp_path / "a.SVG").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["a.SVG"]


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path):
    figure = attention_figure(explained("red"), PHOTOGRAPH)
    for path, message in (
        (tmp_path / "a.jpg", r"neither \.png nor \.svg"),
        (tmp_path / "absent" / "a.png", "there is no folder"),
    ):
        with pytest.raises(InputError, match=message):
            write_figure(figure, path)
    (tmp_path / "f.png").mkdir()
    with pytest.raises(InputError, match="is a folder: name a file"):
        write_figure(figure, tmp_path / "f.png")
    assert [path.name for path in tmp_path.iterdir()] == ["f.png"]


def test_drawing_needs_neither_tensorflow_nor_pyplot():
    code = (
        "import sys, dafsn_client.drawing; "
        "names = ('tensorflow', 'keras', 'dafsn_tf', 'matplotlib.pyplot'); "
        "print([name for name in names if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
