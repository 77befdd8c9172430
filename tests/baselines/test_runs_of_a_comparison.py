import json
from pathlib import Path

import numpy as np
import pytest

from dafsn_tf import baselines
from dafsn_tf.baselines import comparison
from dafsn_tf.baselines.inputs import Inputs
from dafsn_tf.baselines.tasks import preset_of
from dafsn_tf.config import load_config
from dafsn_tf.data.manifest import Manifest
from dafsn_tf.errors import ConfigError, DataError, RunError
from dafsn_tf.evaluation.evaluate import evaluate_run
from dafsn_tf.runs import load_run

pytestmark = pytest.mark.usefixtures("colour_backbone")


@pytest.fixture
def methods(monkeypatch, small):
    chosen = {name: small(baselines.METHODS[name]) for name in ("cca", "semantic_matching")}
    monkeypatch.setattr(comparison, "METHODS", chosen)
    return ("dafsn", *chosen)


@pytest.fixture(scope="module")
def data(prepared):
    return prepared()


def files(folder):
    return sorted(path.name.replace(path.stem.split("-")[-2], "DIGEST") for path in folder.glob("*.json"))


@pytest.mark.slow
def test_every_run_leaves_its_record(methods, data, config, tmp_path):
    lines = []
    found = baselines.compare([data], tmp_path, methods=methods, seeds=(0, 1), config=config, write=lines.append)
    assert len(found.runs) == 6
    assert found.missing == found.skipped == []
    assert files(tmp_path) == [
        "cca-colours-DIGEST-0.json",
        "cca-colours-DIGEST-1.json",
        "dafsn-colours-DIGEST-0.json",
        "dafsn-colours-DIGEST-1.json",
        "semantic_matching-colours-DIGEST-0.json",
        "semantic_matching-colours-DIGEST-1.json",
        *(name for name in files(tmp_path) if name.startswith("tuning-")),
    ]
    for run in found.runs:
        assert run["dataset"] == "colours"
        assert (run["images"], run["texts"]) == (6, 12)
        assert set(run["test"]["protocols"]) == {"document", "sentence"}
        assert run["per_query"]["protocol"] == "document"
        assert len(run["per_query"]["text_to_image"]["average_precision"]) == 6
        assert 0 <= run["validation"] <= 1
        assert run["seconds"] >= 0  # rounded: a linear peer takes less than a tenth
        assert run["score"] == ("fused" if run["method"] == "dafsn" else "score")
    tuning = json.loads(next(tmp_path.glob("tuning-cca-*")).read_text())
    assert all(run["settings"] == tuning["chosen"] for run in found.runs if run["method"] == "cca")
    assert any(line.startswith("[6/6]") and "min left" in line for line in lines)

    stands = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    baselines.compare([data], tmp_path, methods=methods, seeds=(0, 1), config=config)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")} == stands


def test_dafsns_figures_are_those_of_evaluate_run(methods, data, config, tmp_path):
    (record,) = baselines.compare([data], tmp_path, methods=["dafsn"], config=config, write=lambda line: None).runs
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    evaluation = evaluate_run(load_run(folder), data)
    for name in ("protocols", "chance", "queries"):
        assert record["test"][name] == evaluation[name]
    assert record["settings"] == config.to_dict()


@pytest.mark.slow
def test_a_run_that_training_finished_is_used(methods, data, config, tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dafsn_tf.baselines.trial.run_scores", stop)
        with pytest.raises(KeyboardInterrupt):
            baselines.compare([data], tmp_path, methods=["dafsn"], config=config, write=lambda line: None)
    assert not list(tmp_path.glob("*.json"))
    monkeypatch.setattr("keras.Model.fit", stop)
    assert len(baselines.compare([data], tmp_path, methods=["dafsn"], config=config, write=lambda line: None).runs) == 1


def test_parts_are_run_and_what_is_missing_is_said(methods, data, config, tmp_path):
    options = {"methods": methods, "config": config, "write": lambda line: None}
    part = baselines.compare([data], tmp_path, seeds=(0,), only=("cca",), **options)
    assert [(run["method"], run["seed"]) for run in part.runs] == [("cca", 0)]
    assert [entry.split(" on ")[0] for entry in part.missing] == ["dafsn", "semantic_matching"]
    part = baselines.compare([data], tmp_path, seeds=(2,), only=("semantic_matching",), **options)
    assert len(part.runs) == 2
    assert any(entry.startswith("cca on colours-") and entry.endswith("seed 2") for entry in part.missing)
    assert any(entry.startswith("semantic_matching") and entry.endswith("seed 0") for entry in part.missing)


def test_a_run_opens_the_test_split_once_and_after_the_choice(methods, data, config, tmp_path, monkeypatch):
    opened, opening = [], Inputs.open

    def watch(inputs, split):
        if split == "test":
            (tuning,) = tmp_path.glob("tuning-*.json")
            opened.append("chosen" in json.loads(tuning.read_text()))
        return opening(inputs, split)

    monkeypatch.setattr(Inputs, "open", watch)
    baselines.compare([data], tmp_path, methods=["cca"], seeds=(0, 1), config=config, write=lambda line: None)
    assert opened == [True, True]


def test_an_interrupted_comparison_leaves_no_half_record(methods, data, config, tmp_path, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    options = {"methods": ["cca"], "config": config, "write": lambda line: None}
    with monkeypatch.context() as patch:
        patch.setattr("dafsn_tf.baselines.record.query_values", stop)
        with pytest.raises(KeyboardInterrupt):
            baselines.compare([data], tmp_path, **options)
    assert all(path.name.startswith("tuning-") for path in tmp_path.glob("*.json"))
    assert len(baselines.compare([data], tmp_path, **options).runs) == 1


def test_runs_of_another_protocol_are_refused(methods, prepared, config, tmp_path):
    options = {"methods": ["cca"], "config": config, "write": lambda line: None}
    baselines.compare([prepared(documents=True)], tmp_path, **options)
    as_sentences = prepared(documents=False)
    with pytest.raises(
        RunError, match=r"cca-.*\.json is of protocol 'document', .* for 'sentence'; name another --out"
    ):
        baselines.compare([as_sentences], tmp_path, **options)


def test_methods_that_need_classes_are_skipped_with_the_reason(methods, prepared, config, tmp_path):
    plain = prepared(labels=False, documents=False)
    options = {"methods": methods[1:], "config": config, "write": lambda line: None}
    found = baselines.compare([plain], tmp_path, **options)
    assert [run["method"] for run in found.runs] == ["cca"]
    assert found.runs[0]["per_query"]["protocol"] == "sentence"
    (skipped,) = found.skipped
    assert skipped.startswith("semantic_matching on colours-")
    assert skipped.endswith("it learns from classes, and the collection has none")


@pytest.mark.parametrize(("labelled", "found"), [("red", "1"), ("", "none")])
def test_methods_that_need_classes_are_skipped_where_training_pictures_do_not_tell_two_apart(
    labelled, found, methods, prepared, config, tmp_path
):
    one = prepared(only_class=labelled)
    found_runs = baselines.compare([one], tmp_path, methods=methods[1:], config=config, write=lambda line: None)
    assert [run["method"] for run in found_runs.runs] == ["cca"]
    assert found_runs.skipped[0].endswith(f"it learns from classes, and the training pictures have {found}")


def test_a_collections_layout_names_its_preset_not_its_folder():
    def collection(source):
        return {Path("data"): Manifest("flickr8k", source, 0, False, (), {})}

    assert preset_of(collection("flickr8k")) == load_config("flickr8k")
    assert preset_of(collection("jsonl")) == load_config("default")


def test_several_splits_of_one_collection(methods, data, prepared, config, tmp_path):
    other = prepared(seed=1)
    options = {"methods": ["cca"], "config": config, "write": lambda line: None}
    found = baselines.compare([data, other], tmp_path, **options)
    assert len({run["collection"] for run in found.runs}) == 2
    assert len(list(tmp_path.glob("tuning-cca-*"))) == 2


def test_settings_may_be_chosen_once_for_all_splits(methods, data, prepared, config, tmp_path):
    other = prepared(seed=1)
    options = {"methods": ["cca"], "tune_once": True, "config": config, "write": lambda line: None}
    found = baselines.compare([data, other], tmp_path, **options)
    (tuning,) = tmp_path.glob("tuning-cca-*")
    chosen = json.loads(tuning.read_text())["chosen"]
    assert len({run["collection"] for run in found.runs}) == 2
    for run in found.runs:
        assert run["settings"] == chosen
        assert tuning.stem == f"tuning-cca-{run['settings_chosen_on']}"
    assert {run["settings_chosen_on"] for run in found.runs} == {comparison.collection_name(Manifest.read(data))}


def test_what_cannot_be_compared_is_named(methods, data, config, tmp_path, jsonl_source):
    from dafsn_tf.data.prepare import prepare

    with pytest.raises(ConfigError, match=r"no method 'ccaa'. Known: dafsn, cca"):
        baselines.compare([data], tmp_path, methods=["ccaa"])
    with pytest.raises(ConfigError, match=r"--only names cca, which --methods lacks \(dafsn\)"):
        baselines.compare([data], tmp_path / "out", methods=["dafsn"], only=["cca"])
    prepare("jsonl", jsonl_source([{"image": f"{n}.png", "texts": ["a"]} for n in range(12)]), tmp_path / "other")
    with pytest.raises(DataError, match="splits of one collection; found animals, colours"):
        baselines.compare([data, tmp_path / "other"], tmp_path / "out")


@pytest.mark.slow
def test_runs_of_other_features_or_settings_are_refused(methods, data, config, tmp_path):
    from dafsn_tf.config import Config

    out, options = tmp_path / "out", {"seeds": (0,), "write": lambda line: None}
    baselines.compare([data], out, methods=methods[:2], config=config, **options)
    changed = config.to_dict()
    changed["text"]["max_words"] = 3
    with pytest.raises(RunError, match=r"dafsn-colours-.*another configuration.*--config"):
        baselines.compare([data], out, methods=methods[:2], config=Config.from_dict(changed), **options)
    file = next(out.glob("cca-*.json"))
    record = json.loads(file.read_text())
    settings = {**record["settings"], "power": 7.0}
    file.write_text(json.dumps({**record, "settings": settings}))
    with pytest.raises(RunError, match=r"settings of a run of cca were chosen otherwise.*tuning-cca-.*Remove"):
        baselines.compare([data], out, methods=methods[:2], config=config, **options)
    record["inputs"]["max_words"] = 3
    file.write_text(json.dumps(record))
    with pytest.raises(RunError, match="different features or words"):
        baselines.compare([data], out, methods=methods[:2], config=config, **options)
    with pytest.raises(RunError, match="different features or words"):
        baselines.compare([data], out, methods=methods, config=config, **options)
    assert not list(out.glob("*semantic_matching-*"))  # refused before any work


def test_damsm_is_the_preset_on_the_comparisons_features(config):
    from dataclasses import replace

    from dafsn_tf.baselines import damsm
    from dafsn_tf.config import load_config

    preset, made = (
        load_config("damsm"),
        damsm.configuration(config, damsm.Settings(gamma3=16.0, weight_decay=2.0, epochs=3), images=60_000),
    )
    assert made.image == replace(config.image, dropout=preset.image.dropout)
    assert made.text.embeddings == config.text.embeddings
    assert made.model == preset.model
    assert (made.loss.gamma3, made.loss.adversarial_weight, made.loss.label_weight) == (16, 0, 0)
    assert (made.training.batch_size, made.training.learning_rate, made.training.beta_1) == (48, 2e-3, 0.5)
    assert (made.training.weight_decay, made.training.epochs) == (2, 3)
    assert made.text.max_words == config.text.max_words
    pascal = load_config("pascal_sentence")
    dropout = preset.image.dropout
    assert damsm.configuration(pascal, damsm.Settings(), 800).image == replace(pascal.image, dropout=dropout)
    assert damsm.configuration(load_config("flickr8k"), damsm.Settings(), 6000).evaluation.fusion_metric == "recall"


@pytest.mark.parametrize(
    ("images", "epochs", "steps"), [(6000, 30, 3750), (800, 30, 480), (400, 57, 456), (30, 57, 456)]
)
def test_damsm_takes_as_many_steps_on_a_small_collection(images, epochs, steps, config):
    from dafsn_tf.baselines import damsm

    made = damsm.configuration(config, damsm.Settings(weight_decay=2.0), images).training.for_images(images)
    assert (made.epochs, made.epochs * made.steps_per_epoch(images)) == (epochs, steps)
    assert (made.batch_size, made.weight_decay) == (16 if images == 30 else 48, 2)


def test_the_papers_plain_form_has_words_sentences_and_the_adversary():
    from dafsn_tf.config import load_config

    loss = load_config("dafsn_paper").loss
    assert min(loss.word_weight, loss.sentence_weight, loss.adversarial_weight) > 0
    assert loss.label_weight == 0
    assert np.isclose(load_config("damsm").loss.adversarial_weight, 0)
