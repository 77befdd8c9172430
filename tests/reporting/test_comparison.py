import numpy as np
import pytest

from dafsn_tf.reporting.comparison import (
    PictureSums,
    ablation_table,
    average_precision,
    comparison_table,
    corrected_interval,
    mean_recall,
    paired_bootstrap,
    picture_values,
    times_drawn,
)


def items(values):
    """Pictures with a query each."""
    return PictureSums.of_queries(np.asarray(values, float), np.arange(len(values)), len(values))


def run(method, seed=0, split="a" * 64, precision=(1.0, 0.5), text_precision=(0.5, 0.5), ranks=(1, 7)):
    def direction(values, images):
        return {
            "average_precision": list(values),
            "first_relevant_rank": [ranks[image] for image in images],
            "image": images,
        }

    recalls = {f"recall@{cut}": float(np.mean(np.array(ranks) <= cut)) for cut in (1, 5, 10)}
    chance = {"map@all": 0.75, "recall@1": 0.5, "recall@5": 1.0, "recall@10": 1.0}
    return {
        "method": method,
        "dataset": "toy",
        "collection": split,
        "seed": seed,
        "seconds": 90.0,
        "train_images": 16,
        "images": 2,
        "texts": 2,
        "score": "score",
        "test": {
            "protocols": {"document": {"score": {"image_to_text": recalls, "text_to_image": recalls}}},
            "chance": {"document": dict.fromkeys(("image_to_text", "text_to_image"), chance)},
        },
        "per_query": {
            "protocol": "document",
            "image_to_text": direction(precision, [0, 1]),
            "text_to_image": direction(text_precision, [0, 1]),
        },
    }


def test_the_table_says_whose_training_began_with_heads_of_another_collection():
    begun = run("dafsn") | {"settings": {"training": {"from_preset": "flickr8k"}}}
    peer = run("cca") | {"settings": {"power": 1.0}}
    assert "Training began with the heads of flickr8k: of dafsn alone." in comparison_table([begun, peer])
    scratch = run("dafsn") | {"settings": {"training": {"from_preset": "none"}}}
    assert "Training began" not in comparison_table([scratch, peer])


def test_worked_example_of_the_docstring():
    """Two items: the resamples' means are 0, 1/2, 1 with probability 1/4, 1/2, 1/4."""
    assert paired_bootstrap(items([0, 1])) == (0.5, 0, 1)
    assert paired_bootstrap(items([0, 1]), level=0.4) == (0.5, 0.5, 0.5)
    assert paired_bootstrap(items([0, 1]), level=0.4, seed=5) == (0.5, 0.5, 0.5)


def test_what_is_always_so_has_no_width():
    assert paired_bootstrap(items([0.25] * 5)) == (0.25, 0.25, 0.25)
    assert paired_bootstrap(PictureSums.of_queries(np.ones(7), np.array([0, 1, 1, 2, 2, 2, 2]), 3)) == (1, 1, 1)
    assert corrected_interval([0.25, 0.25, 0.25], 0.125) == (0.25, 0.25, 0.25)


def test_the_interval_over_splits_is_the_t_interval_and_wider_where_splits_overlap():
    """Of 1, 2, 3: mean 2, deviation 1; t of two degrees of freedom at .975 is 4.3027."""
    apart, overlapping = (corrected_interval([1.0, 2.0, 3.0], share) for share in (0.0, 2 / 3))
    assert apart == pytest.approx((2, 2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    assert overlapping == pytest.approx((2, 2 - 4.3027, 2 + 4.3027), abs=1e-4)


def test_the_interval_of_many_items_is_the_normal_ones():
    values = np.random.default_rng(0).normal(0.1, 1, 1000)
    interval = paired_bootstrap(items(values))
    error = 1.96 * values.std() / np.sqrt(1000)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - error, abs=0.1 * error)
    assert interval.high == pytest.approx(values.mean() + error, abs=0.1 * error)


def test_a_resample_is_the_mean_of_the_queries_that_were_drawn():
    """Two pictures with a query of 0 and three of 1: both drawn, 3/4; one of them twice, 0 or 1."""
    values = PictureSums.of_queries(np.array([0.0, 1.0, 1.0, 1.0]), np.array([0, 1, 1, 1]), 2)
    assert paired_bootstrap(values) == (0.75, 0, 1)
    assert paired_bootstrap(values, level=0.4) == (0.75, 0.75, 0.75)


def test_resamples_without_a_query_are_left_out():
    values = PictureSums.of_queries(np.array([np.nan, 1.0]), np.array([0, 1]), 2)
    assert paired_bootstrap(values) == (1, 1, 1)


def test_pictures_add_up_to_the_figure():
    record = run("cca")
    record["per_query"]["text_to_image"] = {
        "average_precision": [1.0, 0.2, None, 0.6],
        "first_relevant_rank": [1, 2, 11, 5],
        "image": [0, 0, 0, 1],
    }
    values = picture_values(record, average_precision)
    assert values.sums.shape == values.counts.shape == (2, 2)
    assert values.mean() == pytest.approx((0.75 + 0.6) / 2)
    of_recall = picture_values(record, mean_recall)
    assert of_recall.mean() == pytest.approx(((3 + 1) / 6 + (3 + 2 + 0 + 2) / 12) / 2)


def rows_of(table):
    lines = table.partition("of each split")[0].splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    return {row[0]: dict(zip(cells[0], row, strict=True)) for row in cells[2:]}


def test_a_row_has_mean_deviation_and_difference():
    runs = [run("dafsn", 0, precision=(1, 1)), run("dafsn", 1, precision=(1, 0.8)), run("cca"), run("cca", 1)]
    rows = rows_of(comparison_table(runs))
    assert rows["dafsn"]["splits x seeds"] == "1 x 2"
    assert rows["dafsn"]["min a run"] == "1.5"
    assert rows["chance"]["MAP@all"] == "0.750"
    assert rows["chance"]["text to image recall@1 / 5 / 10"] == "0.500 / 1.000 / 1.000"
    assert rows["dafsn"]["MAP@all"] == "0.725 ± 0.035"  # (1 + .5) / 2 and (.9 + .5) / 2
    assert rows["cca"]["MAP@all"] == "0.625 ± 0.000"
    # Picture 0 differs by 0; picture 1 by (.9 - .5) / 2, its seeds' mean.
    columns = [name for name in comparison_table(runs).splitlines()[2].split("|") if "minus" in name]
    assert len(columns) == 2
    line = next(line for line in comparison_table(runs).splitlines() if line.startswith("| cca"))
    assert "+0.100 [+0.000, +0.200]" in line
    assert rows["cca"]["image to text recall@1 / 5 / 10"] == "0.500 / 0.500 / 1.000"


def test_several_splits_have_a_deviation_over_splits():
    runs = [run("dafsn", split=name * 64, precision=(1, value)) for name, value in (("a", 1), ("b", 0.8))]
    runs += [run("cca", split="a" * 64)]
    rows = rows_of(comparison_table(runs))
    assert rows["dafsn"]["MAP@all"] == "0.725 ± 0.035"
    assert rows["cca"]["MAP@all"] == "0.625"
    line = next(line for line in comparison_table(runs).splitlines() if line.startswith("| cca"))
    assert "+0.125 [+0.000, +0.250]" in line  # of the split that both have
    assert "2 test splits of 2 images" in comparison_table(runs)
    runs += [run("cca", seed, split="b" * 64) for seed in (0, 1)]
    line = next(line for line in comparison_table(runs).splitlines() if line.startswith("| cca"))
    assert "2 x 1 to 2" in line
    # Gains .125 and .075: mean .1, deviation .0354; t of one degree of freedom at .975 is 12.706, 1 / 2 + 2 / 16.
    assert "+0.100 [-0.255, +0.455]" in line
    of_each = comparison_table(runs).partition("MAP@all of each split, dafsn's minus the others':")[2].splitlines()
    assert [line.split() for line in of_each[2:]] == [
        ["|", "split", "|", "dafsn", "|", "cca", "|"],
        ["|----------|-------|--------|"],
        ["|", "a" * 8, "|", "0.750", "|", "+0.125", "|"],
        ["|", "b" * 8, "|", "0.700", "|", "+0.075", "|"],
    ]
    alone = comparison_table([run("dafsn", split="a" * 64), run("dafsn", split="b" * 64), run("cca", split="b" * 64)])
    assert ["|", "a" * 8, "|", "0.625", "|", "|"] in [line.split() for line in alone.splitlines()]
    assert "of each split" not in comparison_table([run("cca", split="a" * 64), run("cca", split="b" * 64)])


def test_missing_and_skipped_runs_are_listed():
    table = comparison_table([run("cca")], ["scan on toy-1234, seed 2"], ["acmr on toy-1234: no classes"])
    assert "Still missing:\n- scan on toy-1234, seed 2" in table
    assert "Skipped:\n- acmr on toy-1234: no classes" in table
    assert comparison_table([], ["dafsn on toy-1234, seed 0"]) == "Still missing:\n- dafsn on toy-1234, seed 0"


def test_ablations_are_compared_with_the_full_model_and_show_the_gap_and_the_gradients():
    gap = {"probe_accuracy": 0.9, "linear_probe_accuracy": 0.8, "centroid_distance": 0.25}
    more = {"modality_gap": gap, "adversarial_gradient": [0.1, 0.3], "retrieval_gradient": [4.0, 2.0]}
    runs = [{**run(name), **more} for name in ("full", "full", "k_3")]
    runs[1]["modality_gap"] = {**gap, "probe_accuracy": 0.7}
    table = ablation_table(runs, skipped=["k_1 on toy-1234: the full model is so"])
    rows = rows_of(table)
    assert "full minus it" in table
    assert rows["full"]["probe accuracy"] == "0.8"  # mean of both seeds
    assert rows["k_3"]["linear probe"] == "0.8"
    assert rows["k_3"]["centroid distance"] == "0.25"
    assert (rows["k_3"]["adversarial gradient"], rows["k_3"]["other gradients"]) == ("0.2", "3")
    assert "+0.000 [+0.000, +0.000]" in next(line for line in table.splitlines() if line.startswith("| k_3"))
    assert table.endswith("Skipped:\n- k_1 on toy-1234: the full model is so")


def test_what_is_drawn_does_not_depend_on_how_much_is_drawn_at_once(monkeypatch):
    at_once = np.concatenate(list(times_drawn(7, 30, 3)))
    assert at_once.shape == (30, 7)
    assert (at_once.sum(axis=1) == 7).all()
    monkeypatch.setattr("dafsn_tf.reporting.comparison._DRAWN", 15)
    parts = list(times_drawn(7, 30, 3))
    assert {len(part) for part in parts} == {2}
    assert np.array_equal(np.concatenate(parts), at_once)
