import math
from statistics import mean

import numpy as np
import pytest

from dafsn_tf.data.records import open_split
from dafsn_tf.evaluation.attention import evaluate_attention, in_their_places, texts_of_other_images
from dafsn_tf.evaluation.embedding import Embedder
from dafsn_tf.reporting.tables import pointing_table
from dafsn_tf.runs import load_run


@pytest.fixture(scope="module")
def measured(shapes_data):
    """The shipped model's embeddings of a dozen scenes, their records, and the pointing games on them."""
    run, records = load_run("shapes"), open_split(shapes_data, "test")
    embeddings = Embedder(run.model, run.text_preprocessor).embed_split(records)
    return run, records, embeddings, evaluate_attention(run, shapes_data, batch_size=7)


def attention_of(words, mask, regions, gamma1):
    """Equations 7 to 9, region by region: (T, R) but for a factor a word, nothing where padded."""
    scores = words[mask] @ regions.T
    columns = []
    for region in range(len(regions)):
        exponentials = np.exp(scores[:, region] - scores[:, region].max())
        columns.append(np.exp(gamma1 * exponentials / exponentials.sum()).tolist())
    return list(zip(*columns, strict=True))


def games_by_loops(run, records, embeddings):
    """Hits, areas and distances from the border of every noun, for attention and each control."""
    others = texts_of_other_images(embeddings.collection.text_image)
    centres, gamma1 = run.model.image_encoder.region_centres, run.config.model.gamma1
    played = {"attention": [], "shuffled_words": [], "region_norm": []}
    text = 0
    for image in range(len(records)):
        regions = embeddings.regions[image]
        norms = [math.sqrt(sum(float(value) ** 2 for value in region)) for region in regions]
        for number in range(len(records.texts[image])):
            own, other = (
                attention_of(embeddings.words[each], embeddings.word_mask[each], regions, gamma1)
                for each in (text, others[text])
            )
            for mention in records.mentions[image]:
                if mention.text != number:
                    continue
                (word,) = [
                    place
                    for place, (start, end) in enumerate(embeddings.word_offsets[text])
                    if (start, end) == (mention.start, mention.end)
                ]
                left, top, right, bottom = (float(edge) for edge in records.boxes[image][mention.box])
                middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
                row = {"attention": own[word], "shuffled_words": other[word % len(other)], "region_norm": norms}
                for name, values in row.items():
                    x, y = centres[values.index(max(values))]
                    hit = int(left <= x <= right and top <= y <= bottom)
                    area = (right - left) * (bottom - top)
                    played[name].append((hit, area, min(middle_x, middle_y, 1 - middle_x, 1 - middle_y)))
            text += 1
    return played


def test_every_figure_is_that_of_plain_loops(measured):
    run, records, embeddings, figures = measured
    for name, nouns in games_by_loops(run, records, embeddings).items():
        found = figures if name == "attention" else figures["controls"][name]
        median = float(np.median([area for _, area, _ in nouns]))
        thirds = np.quantile([distance for *_, distance in nouns], [1 / 3, 2 / 3])
        groups = {
            "big": [noun for noun in nouns if noun[1] >= median],
            "small": [noun for noun in nouns if noun[1] <= median],
            "near_border": [noun for noun in nouns if noun[2] <= thirds[0]],
            "between": [noun for noun in nouns if thirds[0] <= noun[2] <= thirds[1]],
            "central": [noun for noun in nouns if noun[2] >= thirds[1]],
        }
        assert found["nouns"] == len(nouns) > 100
        assert found["pointing_game"] == pytest.approx(mean(hit for hit, *_ in nouns))
        assert found["chance"] == pytest.approx(mean(area for _, area, _ in nouns))
        for group, members in groups.items():
            assert found[group] == pytest.approx(mean(hit for hit, *_ in members)), (name, group)
            assert found["chance_of"][group] == pytest.approx(mean(area for _, area, _ in members)), (name, group)


def test_attention_knows_more_than_its_controls(measured):
    *_, figures = measured
    controls = [control["pointing_game"] for control in figures["controls"].values()]
    assert figures["pointing_game"] > max(controls) + 0.2
    assert min(controls) > figures["chance"]


def test_the_table_has_a_row_for_each_control_and_for_chance(measured):
    *_, figures = measured
    title, _, _, *rows = pointing_table(figures).splitlines()
    assert title == f"pointing game, {figures['nouns']} nouns"
    assert [row.split("  ")[0] for row in rows] == ["attention", "shuffled words", "region norm", "chance"]
    assert f"{figures['pointing_game']:.3f}" in rows[0]
    assert f"{figures['chance_of']['central']:.3f}" in rows[-1]


def test_others_are_texts_of_other_images():
    text_image = np.repeat([0, 1, 4], [5, 1, 3])
    others = texts_of_other_images(text_image)
    assert (text_image[others] != text_image).all()
    assert others.tolist() == texts_of_other_images(text_image).tolist()
    assert others.tolist() != texts_of_other_images(text_image, seed=1).tolist()
    assert texts_of_other_images(np.zeros(5, int)) is None


def test_a_shorter_texts_words_begin_anew():
    rows = np.arange(4)[None, :, None] * np.ones((2, 1, 3))
    mask = np.array([[True, True, False, False], [True, True, True, False]])
    assert in_their_places(rows, mask)[..., 0].tolist() == [[0, 1, 0, 1], [0, 1, 2, 0]]
