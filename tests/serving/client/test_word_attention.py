"""Attention of words as arrays: how regions lie over the photograph, and which words have something to show."""

import math

import numpy as np
import pytest

from dafsn_client import InputError, Similarity, WordAttention, WordRelevance, word_attention

CENTRES = np.array([[x, y] for y in (0.2, 0.5, 0.9) for x in (0.1, 0.4)], np.float32)  # three rows of two


def explained(rows, relevances=None, words=None, centres=CENTRES):
    words = words or tuple(f"w{place}" for place in range(len(rows)))
    starts = np.cumsum([0, *(len(word.encode()) + 1 for word in words)])[:-1]
    return WordAttention(
        text=" ".join(words),
        words=words,
        offsets=np.array([(start, start + len(word.encode())) for start, word in zip(starts, words, strict=True)]),
        relevances=np.array([0.5] * len(words) if relevances is None else relevances),
        attention=np.array(rows, float),
        region_centres=centres,
        scores={"sentence": 0.1, "word": 0.2, "fused": 0.3},
    )


def peaked(region, share=0.5, regions=6):
    return [share if place == region else (1 - share) / (regions - 1) for place in range(regions)]


def test_an_answer_of_the_server_becomes_arrays():
    words = [WordRelevance("rot", 0, 3, 0.5, 0.1, 0.2), WordRelevance("über", 4, 9, -0.25, 0.4, 0.9)]
    rows = np.array([peaked(0), peaked(5)], np.float32)
    found = word_attention("rot über", Similarity(0.1, 0.2, 0.3, words, rows, CENTRES))
    assert (found.words, found.scores) == (("rot", "über"), {"sentence": 0.1, "word": 0.2, "fused": 0.3})
    assert [found.text.encode()[start:end].decode() for start, end in found.offsets] == ["rot", "über"]
    assert found.relevances.tolist() == [0.5, -0.25]
    assert found.peaks.tolist() == [0, 5]
    np.testing.assert_array_equal(found.attention, rows)


def test_regions_are_rows_and_columns_whose_cells_tile_the_photograph():
    found = explained([peaked(0)])
    assert found.grid == (3, 2)
    boxes = found.region_boxes
    # Borders half way between neighbours: x at .25, y at .35 and .7.
    assert boxes[3].tolist() == pytest.approx([0.25, 0.35, 1.0, 0.7])
    assert ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sum() == pytest.approx(1)
    for (x, y), (left, top, right, bottom) in zip(CENTRES, boxes, strict=True):
        assert left < x < right
        assert top < y < bottom


def bilinear(values, columns, rows, x, y):
    """One point of a grid (rows, columns) by the textbook; beyond the outermost centres, their values."""

    def place(centres, at):
        at = min(max(at, centres[0]), centres[-1])
        low = max(index for index, centre in enumerate(centres) if centre <= at)
        high = min(low + 1, len(centres) - 1)
        return low, high, 0.0 if high == low else (at - centres[low]) / (centres[high] - centres[low])

    (left, right, across), (top, bottom, down) = place(columns, x), place(rows, y)
    upper = values[top][left] * (1 - across) + values[top][right] * across
    lower = values[bottom][left] * (1 - across) + values[bottom][right] * across
    return upper * (1 - down) + lower * down


def test_a_map_is_bilinear_between_the_centres():
    rows = np.random.default_rng(0).dirichlet(np.ones(6), 2)
    found = explained(rows)
    heat = found.upsampled(1, width=17, height=11)
    columns, down = [float(x) for x in CENTRES[:2, 0]], [float(y) for y in CENTRES[::2, 1]]
    for row in range(11):
        for column in range(17):
            value = bilinear((6 * rows[1]).reshape(3, 2), columns, down, (column + 0.5) / 17, (row + 0.5) / 11)
            assert heat[row, column] == pytest.approx(value)


def test_even_attention_is_one_everywhere_and_one_region_is_enough():
    np.testing.assert_allclose(explained([[1 / 6] * 6]).upsampled(0, 4, 3), np.ones((3, 4)))
    single = explained([[1.0]], centres=np.array([[0.5, 0.5]]))
    assert single.grid == (1, 1)
    np.testing.assert_allclose(single.upsampled(0, 2, 2), np.ones((2, 2)))


def test_words_that_look_everywhere_or_match_nothing_say_nothing():
    rows = [[1 / 6] * 6, peaked(1, 0.8), peaked(2, 0.8), peaked(3, 0.8), peaked(4, 0.19)]
    found = explained(rows, relevances=[0.9, 0.6, -0.3, 0.5, 0.9])
    assert found.content == [1, 3]
    divergence = 0.8 * math.log(0.8 * 6) + 5 * 0.04 * math.log(0.04 * 6)
    assert found.weights.tolist()[1] == pytest.approx(0.6 * divergence)
    assert found.weights.tolist()[2] == 0


def test_a_text_of_which_nothing_stands_out_is_all_content():
    assert explained([[1 / 6] * 6] * 3).content == [0, 1, 2]
    assert explained([[1 / 6] * 6], relevances=[-0.5]).content == [0]


def test_of_too_many_words_the_weightiest_are_drawn_in_the_texts_order():
    found = explained([peaked(0, 0.4), peaked(1, 0.9), peaked(2, 0.6), peaked(3, 0.8)])
    assert found.drawn(max_words=2) == [1, 3]
    assert found.drawn(words=[2, 0]) == [0, 2]
    for words, most in (([4], 12), ([], 12), (None, 0)):
        with pytest.raises(InputError, match="the text has words 0 to 3"):
            found.drawn(words, most)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": ()}, "holds no word"),
        ({"attention": np.ones((1, 5))}, r"need offsets \(1, 2\)"),
        ({"attention": np.full((1, 6), np.nan)}, "NaN or infinity"),
        ({"region_centres": CENTRES[::-1]}, None),
        ({"region_centres": CENTRES[[1, 0, 3, 2, 5, 4]]}, None),
        ({"region_centres": CENTRES[[0, 1, 2, 3, 5, 4]]}, "no grid"),
        ({"region_centres": CENTRES + np.arange(12).reshape(6, 2) / 50}, "no grid"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    held = explained([peaked(0)])
    arguments = {name: getattr(held, name) for name in held.__dataclass_fields__} | change
    if message is None:
        assert WordAttention(**arguments).grid == (3, 2)
    else:
        with pytest.raises(InputError, match=message):
            WordAttention(**arguments)
