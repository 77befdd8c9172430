import io
import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from dafsn_tf.data.problems import Problems
from dafsn_tf.data.sources import shapes
from dafsn_tf.data.sources.shapes_captions import place, relations
from dafsn_tf.data.sources.shapes_drawing import COLOURS, KINDS, Figure
from dafsn_tf.errors import DataError

SIZES = {"train": 120, "validation": 10, "test": 20}
SIZE_WORDS = "small|little|tiny|medium|large|big|huge"
# What stands before a relation is its subject, what follows its object: "a star above a ring".
DIRECT = re.compile(
    rf"^(?:there is |we see )?an? (?:(?:{SIZE_WORDS}) )?(?:(?:{'|'.join(COLOURS)}) )?(?P<subject>{'|'.join(KINDS)})"
    rf" (?:is |that lies )?(?:to the )?(?P<relation>above|over|below|under|beneath|left of|right of)"
    rf" an? (?:(?:{SIZE_WORDS}) )?(?:(?:{'|'.join(COLOURS)}) )?(?P<object>{'|'.join(KINDS)})"
)


def read(seed=0, sizes=SIZES):
    return list(shapes.read(None, Problems(), seed, sizes))


@pytest.fixture(scope="module")
def items():
    return read()


def pixels(item):
    return np.asarray(Image.open(io.BytesIO(item.image)))


def area(box):
    left, top, right, bottom = box
    return (right - left) * (bottom - top)


def figure(left, top, right, bottom):
    return Figure("square", "red", "small", (0, 0, 0), 96 * np.array([[left, top], [right, bottom]]))


def test_splits_and_ids(items):
    assert Counter(item.split for item in items) == SIZES
    assert items[17].id == "train-00017"
    assert len({item.id for item in items}) == len({item.image for item in items}) == 150


def test_default_sizes():
    assert dict(shapes.SIZES) == {"train": 4000, "validation": 400, "test": 400}


def test_a_scene_is_a_function_of_seed_split_and_index(items):
    assert read() == items
    assert read(sizes={"test": 3}) == items[130:133]
    assert shapes.scene(0, "train", 17) == items[17]


def test_other_seeds_and_splits_are_other_scenes(items):
    images = [item.image for item in items[:3] + items[130:133] + read(1, {"train": 3})]
    assert len(set(images)) == 9


def test_pictures_are_png_of_96_pixels(items):
    picture = Image.open(io.BytesIO(items[0].image))
    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (96, 96))


def test_classes_are_balanced(items):
    assert len(KINDS) == 10
    assert Counter(item.labels for item in items) == {(kind,): 15 for kind in KINDS}


def test_one_to_three_figures_the_label_is_clearly_the_largest(items):
    assert {len(item.boxes) for item in items} == {1, 2, 3}
    for item in items:
        first, *others = [area(box) for box in item.boxes]
        assert all(first > 1.4 * other for other in others)
        named = {item.texts[m.text].encode()[m.start : m.end].decode() for m in item.mentions if m.box == 0}
        assert named == set(item.labels)


def test_boxes_keep_apart_within_the_picture(items):
    for item in items:
        boxes = np.array(item.boxes)
        assert boxes.min() >= 2 / 96
        assert boxes.max() <= 94 / 96
        assert (96 * (boxes[:, 2:] - boxes[:, :2])).min() > 16
        for one in range(len(boxes)):
            for other in range(one):
                apart = (boxes[one, 2:] < boxes[other, :2]) | (boxes[other, 2:] < boxes[one, :2])
                assert apart.any()


def test_boxes_are_tight(items):
    alone = [item for item in items if len(item.boxes) == 1]
    assert alone
    for item in alone:
        scene = pixels(item).astype(int)
        ground = np.median(scene, axis=(0, 1))
        rows, columns = np.nonzero(np.abs(scene - ground).max(2) > 60)  # far beyond noise and shading
        found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert np.abs(found - 96 * np.array(item.boxes[0])).max() < 1.6


def test_figures_have_their_colour(items):
    def pure(item):
        return len(item.boxes) == 1 and item.labels[0] in ("circle", "square", "diamond", "cross", "star", "heart")

    for item in filter(pure, items):
        left, top, right, bottom = item.boxes[0]
        centre = pixels(item)[int(48 * (top + bottom)), int(48 * (left + right))]
        colour = next(name for text in item.texts for name in COLOURS if name in text.split())
        assert np.abs(centre.astype(int) - COLOURS[colour]).max() <= 13 + 4  # shade and noise


def test_five_different_captions_with_their_nouns_in_place(items):
    for item in items:
        assert len(set(item.texts)) == 5
        nouns = Counter()
        for mention in item.mentions:
            noun = item.texts[mention.text].encode()[mention.start : mention.end].decode()
            assert noun in KINDS
            nouns[noun, mention.box] += 1
        assert len({noun for noun, _ in nouns}) == len({box for _, box in nouns}) == len(nouns)
        for number, text in enumerate(item.texts):
            words = Counter(word for word in re.findall(r"\w+", text) if word in KINDS)
            assert sum(words.values()) == sum(mention.text == number for mention in item.mentions)


def test_every_caption_mentions_the_largest_figure(items):
    for item in items:
        assert {mention.text for mention in item.mentions if mention.box == 0} == {0, 1, 2, 3, 4}


def test_articles_fit(items):
    text = "\n".join(text for item in items for text in item.texts)
    assert re.search(r"\ban (orange|arrow)\b", text)
    assert not re.search(r"\ba [aeiou]", text)
    assert not re.search(r"\ban [^aeiou]", text)


def test_relations_in_captions_are_true(items):
    seen = Counter()
    for item in items:
        for number, text in enumerate(item.texts):
            found = DIRECT.match(text)
            if not found:
                continue
            box = {text[m.start : m.end]: item.boxes[m.box] for m in item.mentions if m.text == number}
            subject, other = box[found["subject"]], box[found["object"]]
            held = {
                "above": subject[3] <= other[1],
                "over": subject[3] <= other[1],
                "below": subject[1] >= other[3],
                "under": subject[1] >= other[3],
                "beneath": subject[1] >= other[3],
                "left of": subject[2] <= other[0],
                "right of": subject[0] >= other[2],
            }
            assert held[found["relation"]], text
            seen[found["relation"]] += 1
    assert len(seen) == 7


def test_relations_hold_only_when_clear():
    middle = figure(0.4, 0.4, 0.6, 0.6)
    assert relations(figure(0.4, 0.1, 0.6, 0.3), middle) == ["above"]
    assert relations(figure(0.4, 0.7, 0.6, 0.9), middle) == ["below"]
    assert relations(figure(0.1, 0.35, 0.3, 0.55), middle) == ["left"]
    assert relations(figure(0.7, 0.7, 0.9, 0.9), middle) == ["below", "right"]
    # Apart from left to right as well, but far more above: .15 against .35.
    assert relations(figure(0.3, 0.1, 0.39, 0.2), middle) == ["above"]


def test_places():
    assert place(figure(0.1, 0.1, 0.3, 0.3)) == "in the upper left"
    assert place(figure(0.6, 0.6, 0.9, 0.9)) == "in the lower right"
    assert place(figure(0.4, 0.1, 0.6, 0.3)) == "at the top"
    assert place(figure(0.4, 0.6, 0.6, 0.9)) == "at the bottom"
    assert place(figure(0.7, 0.4, 0.9, 0.6)) == "on the right"
    assert place(figure(0.4, 0.4, 0.6, 0.6)) == "in the middle"


def test_the_pointing_game_has_a_low_chance(items):
    mentioned = [area(item.boxes[mention.box]) for item in items for mention in item.mentions]
    assert 0.12 < np.mean(mentioned) < 0.17


def test_a_negative_seed_is_refused():
    with pytest.raises(DataError, match="the seed is -1; it must not be negative"):
        read(seed=-1)


def test_an_unknown_split_is_refused():
    with pytest.raises(DataError, match="3 scenes of split 'dev'; expected 0 or more of train, validation, test"):
        read(sizes={"dev": 3})


def test_a_negative_size_is_refused():
    with pytest.raises(DataError, match="-3 scenes of split 'test'"):
        read(sizes={"test": -3})
