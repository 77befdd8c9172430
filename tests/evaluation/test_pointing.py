import numpy as np
import pytest

from dafsn_tf.data.items import Mention
from dafsn_tf.errors import DataError, RunError
from dafsn_tf.evaluation.pointing import PointingGame

# Four regions: upper left, upper right, lower left, lower right.
CENTRES = np.array([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]])
# "a star above a ring": words with their bytes; T = 6, the last is padding.
OFFSETS = np.array([[0, 1], [2, 6], [7, 12], [13, 14], [15, 19], [0, 0]])
STAR, RING = Mention(0, 2, 6, 0), Mention(0, 15, 19, 1)
BOXES = np.array([[0.6, 0.1, 0.9, 0.5], [0.0, 0.5, 0.5, 1.0]])  # areas .12 and .25


def attention(star, ring):
    rows = np.full((1, 6, 4), 0.25)
    rows[0, 1], rows[0, 4] = star, ring
    return rows


def play(rows, mentions=(STAR, RING), boxes=BOXES, offsets=OFFSETS):
    game = PointingGame(CENTRES)
    game.update(rows, offsets[None], [mentions], [boxes])
    return game


def accuracies(result, *groups):
    return tuple(result.groups[group].accuracy for group in groups)


def test_one_hit_of_two():
    result = play(attention(star=[0.1, 0.6, 0.2, 0.1], ring=[0.1, 0.2, 0.3, 0.4])).result()
    assert (result.hits, result.total, result.skipped) == (1, 2, 0)
    assert result.accuracy == 0.5
    assert result.chance == pytest.approx((0.12 + 0.25) / 2)
    assert accuracies(result, "big", "small") == (0.0, 1.0)


def test_json_has_the_agreed_keys():
    game = play(attention(star=[0.1, 0.2, 0.3, 0.4], ring=[0.1, 0.2, 0.6, 0.1]))
    # The star's box has its middle (.75, .3) at .25 from the nearest border, the ring's (.25, .75) too.
    assert game.to_json() == {
        "pointing_game": 0.5,
        "chance": pytest.approx(0.185),
        "big": 1.0,
        "small": 0.0,
        "near_border": 0.5,
        "between": 0.5,
        "central": 0.5,
        "chance_of": {
            "big": pytest.approx(0.25),
            "small": pytest.approx(0.12),
            "near_border": pytest.approx(0.185),
            "between": pytest.approx(0.185),
            "central": pytest.approx(0.185),
        },
        "nouns": 2,
        "skipped": 0,
    }


def test_thirds_by_the_distance_of_the_middle_from_the_nearest_border():
    # Middles at .1, .25 and .5 from the nearest border; the peak lies in the second box alone.
    boxes = np.array([[0.0, 0.3, 0.2, 0.7], [0.6, 0.1, 0.9, 0.4], [0.4, 0.4, 0.6, 0.6]])
    nouns = [Mention(0, 2, 6, box) for box in range(3)]
    result = play(attention(star=[0, 1, 0, 0], ring=[0, 0, 0, 0]), nouns, boxes).result()
    assert accuracies(result, "near_border", "between", "central") == (0.0, 1.0, 0.0)
    chances = [result.groups[group].chance for group in ("near_border", "between", "central")]
    assert chances == pytest.approx([0.08, 0.09, 0.04])
    assert [share.nouns for share in result.groups.values()] == [2, 2, 1, 1, 1]


def test_chunks_add_up():
    game = PointingGame(CENTRES)
    both = np.concatenate(
        [attention(star=[0, 1, 0, 0], ring=[0, 0, 1, 0]), attention(star=[1, 0, 0, 0], ring=[0, 0, 1, 0])]
    )
    game.update(both, np.stack([OFFSETS, OFFSETS]), [[STAR, RING], [RING]], [BOXES, BOXES])
    game.update(attention(star=[1, 0, 0, 0], ring=[0, 0, 1, 0]), OFFSETS[None], [[STAR]], [BOXES])
    result = game.result()
    assert (result.hits, result.total) == (3, 4)
    assert result.chance == pytest.approx((0.12 + 0.25 + 0.25 + 0.12) / 4)
    assert accuracies(result, "big", "small") == (1.0, 0.5)


def test_boxes_of_the_median_area_are_big_and_small():
    result = play(attention(star=[0, 1, 0, 0], ring=[0, 0, 1, 0]), mentions=(RING,)).result()
    assert accuracies(result, "big", "small") == (1.0, 1.0)


def test_the_edge_of_a_box_belongs_to_it():
    boxes = np.array([[0.75, 0.25, 1.0, 1.0]])
    assert play(attention(star=[0, 1, 0, 0], ring=[0, 0, 0, 0]), (STAR,), boxes).result().hits == 1


def test_x_and_y_are_not_confused():
    boxes = np.array([[0.5, 0.0, 1.0, 0.5]])  # upper right
    assert play(attention(star=[0, 1, 0, 0], ring=[0, 0, 0, 0]), (STAR,), boxes).result().hits == 1
    assert play(attention(star=[0, 0, 1, 0], ring=[0, 0, 0, 0]), (STAR,), boxes).result().hits == 0


def test_a_noun_beyond_the_kept_words_is_skipped():
    rows = attention(star=[0, 1, 0, 0], ring=[0, 0, 1, 0])
    result = play(rows[:, :3], offsets=OFFSETS[:3]).result()
    assert (result.hits, result.total, result.skipped) == (1, 1, 1)


def test_several_words_of_a_noun_count_by_their_mean():
    offsets = np.array([[0, 3], [3, 6], [6, 9]])  # three characters of three bytes; the last two name the box
    rows = np.array([[[0, 0, 0, 1], [0.6, 0.4, 0, 0], [0, 0.4, 0.6, 0]]])
    game = PointingGame(CENTRES)
    game.update(rows, offsets[None], [[Mention(0, 3, 9, 0)]], [BOXES])  # mean (.3, .4, .3, 0)
    assert game.result().hits == 1


def test_records_without_mentions_are_refused():
    with pytest.raises(DataError, match="these have none"):
        play(attention(star=[0, 1, 0, 0], ring=[0, 0, 1, 0]), mentions=()).to_json()


def test_records_whose_nouns_are_all_cut_off_are_refused():
    with pytest.raises(DataError, match="2 of its nouns lie beyond the words that are kept of a text"):
        play(np.ones((1, 1, 4)), offsets=OFFSETS[:1]).result()


def test_attention_over_other_regions_is_refused():
    with pytest.raises(RunError, match="covers 9 regions, but there are 4 region centres"):
        play(np.ones((1, 6, 9)))


def test_attention_that_is_not_finite_is_refused():
    with pytest.raises(RunError, match="NaN or infinity"):
        play(attention(star=[0, np.nan, 0, 0], ring=[0, 0, 1, 0]))
