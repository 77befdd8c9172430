import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from dafsn_tf.data.records import open_split
from dafsn_tf.errors import ConfigError, DataError, RunError
from dafsn_tf.evaluation.evaluate import split_scores
from dafsn_tf.evaluation.protocols import Collection
from dafsn_tf.reporting import write_report
from dafsn_tf.reporting.classes import classes_section
from dafsn_tf.reporting.embedding_map import check_projection
from dafsn_tf.reporting.figure import Canvas
from dafsn_tf.reporting.galleries import chosen_queries, top
from dafsn_tf.reporting.measured import Measured, measure_run, read_history
from dafsn_tf.reporting.words import words_section
from dafsn_tf.runs import load_run

SECTIONS = ("metrics", "curves", "training", "classes", "scores", "embeddings", "galleries", "words")


@pytest.fixture(scope="module")
def html(report):
    return (report[0] / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def scored(tiny_run):
    """The fused scores (texts, images) of the test split, its records and the picture of each text."""
    data, run = tiny_run
    records = open_split(data, "test")
    embeddings, scores = split_scores(run, records, None)
    return scores["fused"], records, embeddings.collection.text_image


def average_precision(scores, relevant):
    """By a sorted list; of equal scores the relevant come last."""
    order = sorted(range(len(scores)), key=lambda item: (-scores[item], relevant[item]))
    hits, total = 0, 0.0
    for rank, item in enumerate(order, start=1):
        if relevant[item]:
            hits += 1
            total += hits / rank
    return total / hits


def test_the_page_holds_every_section_and_nothing_from_elsewhere(report, html):
    folder, lines = report
    for section in SECTIONS:
        assert f'<section id="{section}"' in html
        assert f'<a href="#{section}">' in html
    links = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert all(link.startswith(("#", "data:")) for link in links)
    assert not re.search(r"<script|@import|url\((?!#)", html)
    assert len(html) < 15e6
    assert lines[-1].endswith(f"written: {folder / 'report.html'} ({len(html.encode()) / 1e6:.1f} MB)")


@pytest.mark.slow
def test_a_page_without_pictures_shows_nothing_of_the_collection(tiny_run, tmp_path):
    data, run = tiny_run
    html = write_report([run.path], data, tmp_path / "out", pictures=False, write=lambda line: None).read_text()
    assert re.findall(r'<section id="(\w+)"', html) == [*SECTIONS[:-2]]
    assert "image/jpeg" not in html
    assert not any(text in html for texts in open_split(data, "test").texts for text in texts)
    assert not list((tmp_path / "out" / "figures").glob("galler*"))


def test_every_figure_is_a_png_and_an_svg(report):
    folder = report[0] / "figures"
    drawn = {path.stem for path in folder.glob("*.svg")}
    assert {path.stem for path in folder.glob("*.png")} - drawn == {"gallery-1", "gallery-2"}
    names = ("precision-recall-image_to_text", "classes-text_to_image", "training-losses-1", "training-gradients")
    for name in (*names, "embeddings-2"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (folder / f"{name}.svg").read_text()
    assert not list(folder.glob(".*"))


def test_a_metric_of_the_page_is_that_of_plain_loops(html, tables_of, scored, tiny_run):
    scores, records, text_image = scored
    labels = records.labels.argmax(axis=1)
    values = [average_precision(row, labels == labels[image]) for row, image in zip(scores, text_image, strict=True)]
    head, *rows = tables_of(html)["Text to image, protocol 'sentence'"]
    (row,) = [row for row in rows if row[:2] == [tiny_run[1].path.name, "fused"]]
    assert row[head.index("MAP@all")] == f"{np.mean(values):.3f}"


def test_a_point_of_a_curve_is_that_of_plain_loops(html, tables_of, scored, tiny_run):
    scores, records, text_image = scored
    labels, found = records.labels.argmax(axis=1), []
    for image, column in enumerate(scores.T):
        relevant = labels[text_image] == labels[image]
        order = sorted(range(len(column)), key=lambda text, c=column, r=relevant: (-c[text], r[text]))
        found.append(np.mean([relevant[text] for text in order[:5]]))
    head, *rows = tables_of(html)["precision scope, image to text"]
    (row,) = [row for row in rows if row[0] == tiny_run[1].path.name]
    assert row[head.index("5")] == f"{np.mean(found):.3f}"


def test_map_of_each_class_is_that_of_plain_loops(html, tables_of, scored, tiny_run):
    scores, records, text_image = scored
    labels = records.labels.argmax(axis=1)
    head, *rows = tables_of(html)["MAP@all of each class, the weakest first"]
    column = head.index(f"{tiny_run[1].path.name}, text to image")
    shown = {row[0]: row[column] for row in rows}
    assert len(shown) == len(set(labels))
    for name, value in shown.items():
        place = records.manifest.classes.index(name)
        values = [
            average_precision(row, labels == place)
            for row, image in zip(scores, text_image, strict=True)
            if labels[image] == place
        ]
        assert value == f"{np.mean(values):.3f}"


def test_a_copy_does_not_differ_from_its_original(html, tables_of):
    (caption,) = [caption for caption in tables_of(html) if caption.startswith("Paired differences")]
    for row in tables_of(html)[caption][1:]:
        assert set(row[2:]) == {"+0.000"}


def test_every_figure_and_picture_has_words(html):
    assert all(re.findall(r'<img alt="([^"]*)"', html))
    assert html.count("<img ") == len(re.findall(r'<img alt="[^"]+"', html))
    figures = re.findall(r'<figure><div role="img" aria-label="([^"]*)">', html)
    assert len(figures) == html.count("<figcaption>") >= 15
    assert all(len(words) > 40 for words in figures)


def test_a_class_of_one_picture_is_named(html, scored):
    counts = scored[1].labels.sum(axis=0)
    single = [name for name, count in zip(scored[1].manifest.classes, counts, strict=True) if count == 1]
    assert single
    assert f"One picture alone has the class {', '.join(single)}:" in html


def test_queries_of_a_gallery_are_the_best_the_median_and_the_worst():
    # Query q ranks the pictures 0, 1, ... in their order, so its own is the q + 1st.
    scores = np.tile(-np.arange(9.0), (9, 1))
    one = Measured("one", {"score": scores.astype("float32")}, Collection(np.arange(9)))
    assert chosen_queries(one, "text_to_image") == {"best": [0, 1], "median": [3, 4], "worst": [8, 7]}
    assert top(one.directions["text_to_image"], 2) == [0, 1, 2, 3, 4]


def test_each_query_shown_is_of_another_picture():
    scores = np.random.default_rng(0).normal(size=(30, 6)).astype("float32")
    text_image = np.repeat(np.arange(6), 5)
    kinds = chosen_queries(Measured("one", {"score": scores}, Collection(text_image)), "text_to_image")
    assert sorted(text_image[query] for queries in kinds.values() for query in queries) == [0, 1, 2, 3, 4, 5]


def test_few_queries_are_shown_once():
    one = Measured("one", {"score": np.eye(2, dtype="float32")}, Collection(np.arange(2)))
    shown = [query for queries in chosen_queries(one, "image_to_text").values() for query in queries]
    assert shown == [0, 1]


def test_pictures_of_several_classes_are_no_mistakes_of_each_other(tmp_path, scored):
    fused, records, text_image = scored
    single = Measured("one", {"score": fused}, Collection(text_image, records.labels))
    assert "A perfect ranking is bright on the diagonal alone" in classes_section([single], records, Canvas(tmp_path))
    labels = np.zeros_like(records.labels)
    labels[:-1, 0] = labels[1:, 1] = 1  # most have both
    several = Measured("one", {"score": fused}, Collection(text_image, labels))
    html = classes_section([several], records, Canvas(tmp_path))
    first, second = records.manifest.classes[:2]
    assert "in a perfect ranking: what has several classes is shared out among them" in html
    assert f"mistake is {first} for {first}" not in html
    assert f"mistake is {second} for {second}" not in html
    assert "One picture alone" not in html


def test_a_collection_without_classes_says_so(tmp_path, scored):
    one = Measured("one", {"score": np.eye(3, dtype="float32")}, Collection(np.arange(3)))
    assert "no classes" in classes_section([one], scored[1], Canvas(tmp_path))


def test_captions_of_one_word(tiny_run, tmp_path, scored):
    data, run = tiny_run
    records = dataclasses.replace(scored[1], texts=[("circle",)] * 9)
    canvas = Canvas(tmp_path)
    shown = words_section([measure_run("tiny", run, data, records)], records, canvas)
    assert shown.count("<h3>tiny: “circle”</h3>") == 3
    assert len(list(tmp_path.glob("attention-1-*.png"))) == 3


def test_a_peer_has_no_words_to_show(tmp_path, scored):
    one = Measured("cca", {"score": np.eye(9, dtype="float32")}, Collection(np.arange(9)))
    assert "No run here has words" in words_section([one], scored[1], Canvas(tmp_path))


def test_a_model_that_was_passed_on_has_no_epochs(tiny_run, tmp_path):
    run = tiny_run[1]
    assert len(read_history(run).columns["loss"]) == 1
    run.model.save_to_preset(tmp_path / "preset")
    assert read_history(load_run(tmp_path / "preset")) is None


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"split": "training"}, DataError, "has no split 'training'. It has: train, validation, test"),
        ({"peers": ["pca"]}, ConfigError, "There is no peer pca. There are: cca"),
        ({"peers": ["cca"]}, RunError, "no frozen features for a peer"),
        ({"projection": "pca"}, ConfigError, "There is no projection 'pca'"),
        ({"runs": []}, ConfigError, "Name at least one run's folder"),
        ({"runs": ["nowhere"]}, RunError, "nowhere is not a run folder"),
        ({"data": "nowhere"}, DataError, "There is no folder nowhere"),
    ],
)
def test_what_a_user_can_mend(changes, error, message, tiny_run, tmp_path):
    data, run = tiny_run
    arguments = {"runs": [run.path], "data": data, "out": tmp_path / "out", **changes}
    with pytest.raises(error, match=re.escape(message)):
        write_report(**arguments, write=lambda line: None)
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_run_that_never_finished_an_epoch(tiny_run, tmp_path):
    data, run = tiny_run
    shutil.copytree(run.path, tmp_path / "run", ignore=shutil.ignore_patterns("best.keras", "fusion.json"))
    with pytest.raises(RunError, match=r"holds an unfinished run. Go on with: dafsn train"):
        write_report([tmp_path / "run"], data, tmp_path / "out")


def test_runs_on_different_data_are_refused(tiny_run, tmp_path):
    data, run = tiny_run
    shutil.copytree(run.path, tmp_path / "other")
    info = {**run.info, "collection": "f" * 64, "dataset": "elsewhere"}
    (tmp_path / "other" / "run.json").write_text(json.dumps(info))
    with pytest.raises(RunError, match=r"run was trained on shapes .* and other on elsewhere \(ffffffff\)"):
        write_report([run.path, tmp_path / "other"], data, tmp_path / "out")


def test_one_run_twice_is_refused(tiny_run, tmp_path):
    data, run = tiny_run
    with pytest.raises(ConfigError, match="shows each run once"):
        write_report([run.path, run.path], data, tmp_path / "out")


def test_records_that_are_gone(tiny_run, tmp_path):
    data, run = tiny_run
    shutil.copytree(data, tmp_path / "data")
    next((tmp_path / "data").glob("test-*.tfrecord")).unlink()
    with pytest.raises(DataError, match=r"test-.* is missing, but the manifest names it"):
        write_report([run.path], tmp_path / "data", tmp_path / "out")


def test_an_umap_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install umap-learn"):
        check_projection("umap")
