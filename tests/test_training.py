import contextlib
import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from dafsn_tf import callbacks, training
from dafsn_tf.config import Config, load_config
from dafsn_tf.data.locking import locked
from dafsn_tf.data.manifest import Manifest
from dafsn_tf.data.prepare import prepare
from dafsn_tf.data.records import open_split
from dafsn_tf.data.sources import shapes
from dafsn_tf.errors import ConfigError, DataError, RunError, WeightsError
from dafsn_tf.evaluation.attention import evaluate_attention
from dafsn_tf.evaluation.canonical import fit_canonical
from dafsn_tf.evaluation.embedding import Embedder
from dafsn_tf.evaluation.evaluate import Validation, evaluate_run, fit_scores, fused_scores
from dafsn_tf.evaluation.querybank import WEIGHTS, fit_querybank
from dafsn_tf.evaluation.scoring import sentence_scores
from dafsn_tf.export import ExportOptions, export_run
from dafsn_tf.files import write_json
from dafsn_tf.fitting import initial_model, learning_rate_schedule, shipped_heads_hint, training_vocabulary
from dafsn_tf.layers.canonical_projections import FITTED_WEIGHTS
from dafsn_tf.layers.querybank import COLUMNS
from dafsn_tf.models.presets import load_heads
from dafsn_tf.progress import progress_lines
from dafsn_tf.reporting.measured import measure_run
from dafsn_tf.runs import load_run, resuming, split_features
from dafsn_tf.training import train

TINY = [
    "image.image_size=32",
    "model.dim=16",
    "text.embedding_dim=8",
    "text.word_dropout=0.1",
    "training.batch_size=8",
    "training.epochs=3",
    "training.weight_decay=2",
    "loss.adversarial_weight=0.1",
    "discriminator.hidden_dim=8",
    "evaluation.selection_images=8",  # of ten
]


def tiny_config(*overrides):
    return load_config("shapes", [*TINY, *overrides])


@pytest.fixture(scope="module")
def finished(shapes_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    lines = []
    result = train(tiny_config(), shapes_data, folder, seed=1, write=lines.append)
    return folder, result, lines


def test_a_run_leaves_what_it_promises(finished):
    folder, result, lines = finished
    files = ("best.keras", "config.toml", "fusion.json", "metrics.csv", "run.json", "state.json", "vocabulary.txt")
    assert sorted(path.name for path in folder.iterdir()) == sorted([*files, "tensorboard"])
    assert all((folder / name).stat().st_size for name in files)
    assert any((folder / "tensorboard").rglob("events*"))
    rows = (folder / "metrics.csv").read_text().splitlines()
    assert len(rows) == 4
    columns = {"loss", "word_loss", "sentence_loss", "label_loss", "adversarial_loss", "discriminator_accuracy"}
    assert columns | {"adversarial_gradient", "retrieval_gradient"} <= set(rows[0].split(","))
    assert load_config(folder / "config.toml") == tiny_config()
    assert load_run(folder, weights="elsewhere.h5").config.image.weights == "elsewhere.h5"
    assert 0 <= result["selection"] <= 1
    assert 1 <= result["best_epoch"] <= 3
    assert sum("discriminator accuracy" in line for line in lines) == 3


def test_the_end_of_a_run_is_chosen_on_all_texts_whatever_epochs_were_chosen_by(finished):
    assert tiny_config().evaluation.selection_texts == 1
    chance = finished[1]["validation"]["chance"]["sentence"]["image_to_text"]["recall@1"]
    assert chance == pytest.approx(5 / 40)  # 8 images with five texts each, not one
    assert "all texts of 8 images" in finished[2][-1]


def test_a_vocabulary_that_saw_another_split_is_impossible(jsonl_source, tmp_path):
    lines = [
        {"image": f"{split}{n}.png", "texts": [f"thing of {split}"], "split": split}
        for split, images in (("train", 4), ("validation", 2), ("test", 2))
        for n in range(images)
    ]
    prepare("jsonl", jsonl_source(lines), tmp_path / "data")
    train(tiny_config("training.epochs=1"), tmp_path / "data", tmp_path / "run", write=lambda line: None)
    assert (tmp_path / "run" / "vocabulary.txt").read_text().split("\n") == ["of", "thing", "train"]
    for split in ("validation", "test"):
        with pytest.raises(DataError, match=f"not from '{split}'"):
            training_vocabulary(Config(), open_split(tmp_path / "data", split))


@contextlib.contextmanager
def killed_in_epoch(number, monkeypatch):
    """Within, training ends when an epoch's checkpoint is written and its state is not."""

    def write_unless_killed(path, values):
        if path.name == "state.json" and values["epochs_done"] == number:
            raise KeyboardInterrupt
        write_json(path, values)

    monkeypatch.setattr("dafsn_tf.callbacks.write_json", write_unless_killed)
    with pytest.raises(KeyboardInterrupt):
        yield
    monkeypatch.undo()


def test_a_process_of_its_own_goes_on_with_an_interrupted_run(shapes_data, tmp_path, monkeypatch):
    with killed_in_epoch(2, monkeypatch):
        train(tiny_config("training.epochs=2"), shapes_data, tmp_path / "run", write=lambda line: None)
    holder = os.open(tmp_path / "run", os.O_RDONLY)
    assert locked(holder, tmp_path / "run")  # another process goes on with it
    with pytest.raises(RunError, match=r"Another process trains in .*run: wait"):
        train(tiny_config("training.epochs=2"), shapes_data, tmp_path / "run", resume=True)
    os.close(holder)
    values = [argument for value in [*TINY, "training.epochs=2"] for argument in ("--set", value)]
    command = [sys.executable, "-m", "dafsn_tf.cli.main", "train", "--config", "shapes", *values]
    folders = ["--data", str(shapes_data), "--run", str(tmp_path / "run")]
    finished = subprocess.run([*command, *folders, "--resume"], capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    assert "validation is by 8 images: what it chooses" in finished.stderr + finished.stdout
    assert load_run(tmp_path / "run").info["result"]["epochs"] == 2
    lines: list[str] = []
    train(tiny_config("training.epochs=2"), shapes_data, tmp_path / "run", resume=True, write=lines.append)
    assert lines == [f"{tmp_path / 'run'} is complete, of 2 epochs: there is nothing to go on with"]


def test_a_folder_in_which_another_training_began_meanwhile_is_left_alone(shapes_data, tmp_path, monkeypatch):
    def vocabulary_while_another_begins(*arguments):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "run.json").write_text("another's")
        return training_vocabulary(*arguments)

    monkeypatch.setattr("dafsn_tf.training.training_vocabulary", vocabulary_while_another_begins)
    with pytest.raises(RunError, match="exists and is not empty"):
        train(tiny_config(), shapes_data, tmp_path / "run", write=lambda line: None)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]
    assert (tmp_path / "run" / "run.json").read_text() == "another's"


@pytest.mark.slow
def test_a_run_killed_between_checkpoint_and_state_goes_on_bit_for_bit(finished, shapes_data, tmp_path, monkeypatch):
    with killed_in_epoch(3, monkeypatch):
        train(tiny_config(), shapes_data, tmp_path / "run", seed=1, write=lambda line: None)
    assert (tmp_path / "run" / "epoch-3.keras").exists()
    assert json.loads((tmp_path / "run" / "state.json").read_text())["epochs_done"] == 2
    with pytest.raises(RunError, match=r"unfinished run.*--resume"):
        load_run(tmp_path / "run")
    with pytest.raises(RunError, match=r"exists and is not empty.*--resume"):
        train(tiny_config(), shapes_data, tmp_path / "run", seed=1)
    with pytest.raises(RunError, match="begun with seed 1, now 2"):
        train(tiny_config(), shapes_data, tmp_path / "run", seed=2, resume=True)
    with pytest.raises(RunError, match="another configuration"):
        train(tiny_config("training.epochs=4"), shapes_data, tmp_path / "run", seed=1, resume=True)
    stored = tmp_path / "run" / "config.toml"  # of a version that lacked a field: its default stands in
    stored.write_text(stored.read_text().replace("weight_averaging = 0.0\n", ""))
    state = json.loads((tmp_path / "run" / "state.json").read_text())
    del state["improved"]  # likewise
    write_json(tmp_path / "run" / "state.json", state)
    train(tiny_config(), str(shapes_data), str(tmp_path / "run"), seed=1, resume=True, write=lambda line: None)
    straight, resumed = (keras.models.load_model(folder / "best.keras") for folder in (finished[0], tmp_path / "run"))
    for ours, theirs in zip(straight.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    for name in ("metrics.csv", "fusion.json", "vocabulary.txt"):
        assert (tmp_path / "run" / name).read_bytes() == (finished[0] / name).read_bytes(), name


@pytest.mark.slow
def test_averaged_weights_are_validated_and_kept_and_an_interrupted_run_goes_on_with_them(
    shapes_data, tmp_path, monkeypatch
):
    config = tiny_config("training.epochs=2", "training.weight_averaging=0.8")
    options = {"seed": 1, "write": lambda line: None}
    train(config, shapes_data, tmp_path / "straight", **options)

    with killed_in_epoch(2, monkeypatch):
        train(config, shapes_data, tmp_path / "run", **options)
    first = keras.models.load_model(tmp_path / "run" / "epoch-1.keras")
    result = train(config, shapes_data, tmp_path / "run", resume=True, **options)
    straight, resumed = (keras.models.load_model(tmp_path / name / "best.keras") for name in ("straight", "run"))
    for ours, theirs in zip(straight.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    averages = resumed.optimizer._model_variables_moving_average
    for average, variable in zip(averages, resumed.encoder_variables, strict=True):
        np.testing.assert_array_equal(average.numpy(), variable.numpy())
    moving = first.optimizer._model_variables_moving_average  # an epoch's file goes on from the weights themselves
    assert any((a.numpy() != v.numpy()).any() for a, v in zip(moving, first.encoder_variables, strict=True))
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == (tmp_path / "straight" / "metrics.csv").read_bytes()
    assert np.isfinite(result["selection"])


def test_a_run_that_lost_its_patience_is_only_completed_when_it_goes_on(shapes_data, tmp_path, monkeypatch):
    config, lines = tiny_config("training.epochs=5", "training.patience=1", "training.learning_rate=1e-12"), []
    with monkeypatch.context() as patch:
        patch.setattr(training, "_finish", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(config, shapes_data, tmp_path / "run", write=lambda line: None)
    assert json.loads((tmp_path / "run" / "state.json").read_text())["epochs_done"] == 2
    result = train(config, shapes_data, tmp_path / "run", resume=True, write=lines.append)
    assert result["epochs"] == 2
    assert not [line for line in lines if line.startswith("epoch ")]


def test_a_seed_that_is_none_leaves_nothing(shapes_data, tmp_path):
    with pytest.raises(ValueError, match=r"[Ss]eed"):
        train(tiny_config(), shapes_data, tmp_path / "run", seed=-1, write=lambda line: None)
    assert not (tmp_path / "run").exists()


def test_a_long_epoch_shows_how_far_it_is(monkeypatch):
    now, lines = [0.0], []
    monkeypatch.setattr(callbacks, "time", SimpleNamespace(monotonic=lambda: now[0]))
    progress = callbacks.ProgressLines(epochs=2, steps=100, pairs=8, write=lines.append)
    for epoch, seconds in enumerate((1.0, 0.05)):
        progress.on_epoch_begin(epoch)
        for step in range(100):
            now[0] += seconds + 30 * (epoch == step == 0)  # the first step is compiled
            progress.on_train_batch_end(step, {"loss": 2.0})
    assert len(lines) == 10
    assert lines[1] == "epoch 1/2  step 12/100  loss 2.000  8 pairs/s  88 s left of this epoch"


def test_long_work_shows_how_far_it_is(monkeypatch):
    now, lines = [0.0], []
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = progress_lines("features of train", "images", lines.append)
    for done in range(32, 321, 32):
        now[0] += 4.0
        progress(done, 320)
    assert lines[0] == "features of train: 96/320 images, 8.0 images/s, 0.5 min left"
    assert lines[-1] == "features of train: 320/320 images, 8.0 images/s"
    assert len(lines) == 4
    progress_lines("features of test", "images", lines.append)(9, 9)
    assert lines[-1] == "features of test: 9/9 images"


def test_evaluation_has_every_figure(finished, shapes_data):
    evaluation = evaluate_run(load_run(str(finished[0])), shapes_data)
    assert (evaluation["num_images"], evaluation["num_texts"], evaluation["seed"]) == (12, 60, 1)
    assert evaluation["collection"] == evaluation["trained_on"] == Manifest.read(shapes_data).digest
    assert set(evaluation["protocols"]) == {"sentence"}
    for score in ("sentence", "word", "fused"):
        for direction in ("image_to_text", "text_to_image"):
            metrics = evaluation["protocols"]["sentence"][score][direction]
            assert set(metrics) == {"map@all", "map@50", "recall@1", "recall@5", "recall@10", "median_rank"}
            assert all(np.isfinite(value) for value in metrics.values())
    assert evaluation["chance"]["sentence"]["text_to_image"]["recall@1"] == pytest.approx(1 / 12)


def test_pictures_that_a_run_may_know_are_told(finished, shapes_data, tmp_path, monkeypatch):
    run = load_run(finished[0])
    said = []
    evaluate_run(run, shapes_data, write=said.append)
    assert not [line for line in said if "trained on another preparation" in line]
    with monkeypatch.context() as patch:
        patch.setattr(shapes.read, "__defaults__", (0, {"train": 4, "validation": 3, "test": 5}))
        prepare("shapes", None, tmp_path / "again", seed=1)
    evaluate_run(run, tmp_path / "again", write=said.append)
    (warning,) = [line for line in said if "trained on another preparation of shapes" in line]
    assert warning.startswith(str(finished[0]))


def test_a_command_that_goes_on_is_one_that_a_shell_reads(tmp_path):
    command = resuming(tmp_path / "rI6 ü#%20x", "my data")
    assert shlex.split(command)[-5:] == ["--data", "my data", "--run", str(tmp_path / "rI6 ü#%20x"), "--resume"]


def test_the_modality_gap_is_measured_where_it_is_asked_for(finished, shapes_data):
    run = load_run(finished[0])
    assert "modality_gap" not in evaluate_run(run, shapes_data)
    gap = evaluate_run(run, shapes_data, probe=True)["modality_gap"]
    assert set(gap) == {"probe_accuracy", "linear_probe_accuracy", "centroid_distance"}
    assert 0.5 < gap["probe_accuracy"] <= 1  # an epoch's training leaves the modalities apart
    assert 0 < gap["centroid_distance"] <= 2


def test_attention_is_measured(finished, shapes_data):
    attention = evaluate_attention(load_run(finished[0]), shapes_data)
    assert set(attention["controls"]) == {"shuffled_words", "region_norm"}
    assert 0.05 < attention["chance"] < 0.2


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(RunError, match=r"is not a run folder \(no such folder\)"):
        load_run(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=r"no run\.json in it"):
        load_run(tmp_path / "empty")


@pytest.mark.slow
def test_a_collection_with_few_labels_short_texts_and_fewer_images_than_a_batch(jsonl_source, tmp_path):
    lines = [{"image": f"{n}.png", "texts": [f"thing {n}"]} for n in range(6)]
    lines[0]["label"], lines[1]["label"] = "a", ["a", "b"]
    prepare("jsonl", jsonl_source(lines), tmp_path / "data")
    result = train(tiny_config("training.epochs=1"), tmp_path / "data", tmp_path / "run", write=lambda line: None)
    assert np.isfinite(result["selection"])
    evaluation = evaluate_run(load_run(tmp_path / "run"), tmp_path / "data")
    assert evaluation["num_images"] >= 1


@pytest.mark.slow
def test_a_collection_without_labels_is_chosen_by_recall(jsonl_source, tmp_path):
    lines = [{"image": f"{n}.png", "texts": [f"thing {n}", "something"]} for n in range(12)]
    prepare("jsonl", jsonl_source(lines), tmp_path / "data")
    written: list[str] = []
    config = tiny_config("training.epochs=1", "text.max_words=1")
    result = train(config, tmp_path / "data", tmp_path / "run", write=written.append)
    assert 0 <= result["selection"] <= 6
    (told,) = [line for line in written if "text.max_words" in line]
    images = len(open_split(tmp_path / "data", "train"))  # the first of an image's two texts is cut
    assert told.startswith(f"{images} of {2 * images} training texts (50.0%) have more than 1 words")
    run = load_run(tmp_path / "run")
    assert run.model.classifier is None
    assert "sentence" in evaluate_run(run, tmp_path / "data")["protocols"]


@pytest.mark.slow
def test_a_class_that_nearly_all_pictures_have_is_not_learned_and_that_is_told(jsonl_source, tmp_path):
    lines = [{"image": f"{n}.png", "texts": [f"thing {n}"], "label": ["photo"]} for n in range(24)]
    lines[3]["label"] = []
    prepare("jsonl", jsonl_source(lines), tmp_path / "data")
    written: list[str] = []
    train(tiny_config("training.epochs=1"), tmp_path / "data", tmp_path / "run", write=written.append)
    (told,) = [line for line in written if "'photo'" in line]
    assert told.startswith("more than 90% of the training images have 'photo'")
    found = evaluate_run(load_run(tmp_path / "run"), tmp_path / "data", split="train")
    assert found["num_images"] > 12


def test_a_failed_start_leaves_no_run_behind(shapes_data, tmp_path):
    with pytest.raises(DataError, match=r"No word occurs 999 times.*lower text\.min_count"):
        train(tiny_config("text.min_count=999"), shapes_data, tmp_path / "run", write=lambda line: None)
    assert not (tmp_path / "run").exists()
    config = load_config("default", ["image.weights=none", "image.image_size=75"])
    stale = shapes_data / "features" / "inception_v3-mixed7-mixed7+mixed8-grid6-75" / "train.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    with pytest.raises(DataError, match="is stale"):
        train(config, shapes_data, tmp_path / "run", write=lambda line: None)
    assert not (tmp_path / "run").exists()


def test_word_vectors_that_do_not_fit_are_told_before_the_backbone_is_asked(shapes_data, tmp_path):
    wide = tiny_config("image.backbone=inception_v3", "image.image_size=75", "text.embeddings=glove")
    with pytest.raises(ConfigError, match=r"have 100 values, text\.embedding_dim is 8"):
        train(wide, shapes_data, tmp_path / "run", write=lambda line: None)


def test_the_vector_of_a_word_that_does_not_occur_keeps_its_length(shapes_data):
    config = tiny_config("training.weight_decay=2", "training.warmup_steps=0")
    records = open_split(shapes_data, "train")
    model = initial_model(config, ["star", "ring"], records, None)
    variables = model.encoder_variables
    before = [variable.numpy() for variable in variables]
    model.optimizer.apply([keras.ops.zeros_like(variable) for variable in variables], variables)
    shrunk = {
        id(variable): not np.array_equal(variable.numpy(), value)
        for variable, value in zip(variables, before, strict=True)
        if value.any()
    }
    assert not shrunk.pop(id(model.text_encoder.embedding.embeddings))
    assert shrunk
    assert all(shrunk.values())


@pytest.mark.parametrize(("kind", "end"), [("constant", 1.0), ("cosine", 0.0)])
def test_the_learning_rate_warms_up(kind, end):
    config = tiny_config(f"training.schedule={kind}", "training.warmup_steps=4", "training.learning_rate=1")
    rate = learning_rate_schedule(config, 10, peak=1.0)
    assert [float(rate(step)) for step in (0, 1, 2, 4, 30)] == pytest.approx([0, 0.25, 0.5, 1, end], abs=1e-6)
    at_once = tiny_config("training.schedule=constant", "training.warmup_steps=0")
    assert learning_rate_schedule(at_once, 10, peak=3e-3) == 3e-3


def test_an_exponential_schedule_falls_by_epochs():
    config = tiny_config("training.schedule=exponential", "training.decay_rate=0.9", "training.warmup_steps=4")
    rate = learning_rate_schedule(config, 10, peak=2.0)
    assert [float(rate(step)) for step in (0, 9, 10, 25)] == pytest.approx([2, 2, 1.8, 2 * 0.9**2], rel=1e-6)


def test_a_run_that_diverges_stops_with_one_message_and_leaves_no_run_behind(shapes_data, tmp_path):
    config = tiny_config("training.learning_rate=1e38", "training.warmup_steps=0", "training.clip_norm=0")
    with pytest.raises(RunError, match=r"diverged in step \d+ of epoch 1: loss.* not finite\. Lower training\.learn"):
        train(config, shapes_data, tmp_path / "run", write=lambda line: None)
    assert not (tmp_path / "run").exists()


def test_a_run_folder_that_cannot_be_made_is_named_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    for run in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match=r"The run folder .* cannot be made: .*file is a file"):
            train(tiny_config(), tmp_path / "absent", run)


def test_weights_that_are_not_there_leave_no_run_behind(shapes_data, tmp_path):
    config = load_config("default", ["image.weights=absent.h5", "image.image_size=75"])
    with pytest.raises(WeightsError, match=r"There is no file absent\.h5"):
        train(config, shapes_data, tmp_path / "run", write=lambda line: None)
    assert not (tmp_path / "run").exists()


def test_training_begins_with_the_heads_of_a_preset(shapes_data, finished, tmp_path):
    preset = load_run(finished[0]).model.save_to_preset(tmp_path / "preset", terms="for tests alone")
    lines, run = [], tmp_path / "run"
    config = tiny_config(f"training.from_preset={preset}", "training.learning_rate=1e-9", "training.epochs=1")
    train(config, shapes_data, run, seed=5, write=lines.append)
    words = len((finished[0] / "vocabulary.txt").read_text().splitlines())
    assert f"heads of {preset}: they know {words} of the {words} words of the training texts" in lines
    assert not any("another preparation" in line or "those are few" in line for line in lines)
    assert json.loads((run / "run.json").read_text())["derived_from"] == []  # of the same pictures
    assert (run / "vocabulary.txt").read_text() == (finished[0] / "vocabulary.txt").read_text()
    ours, theirs = (load_run(folder).model.text_encoder.get_weights() for folder in (run, finished[0]))
    for own, source in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(own, source, atol=1e-2)  # float16, and one epoch that moves nothing
    with pytest.raises(ConfigError, match=r"model\.dim is 32, there 16"):
        train(tiny_config(f"training.from_preset={preset}", "model.dim=32"), shapes_data, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(RunError, match="neither a folder"):
        train(tiny_config("training.from_preset=absent"), shapes_data, tmp_path / "other")


def test_a_run_knows_words_that_no_training_text_has_by_their_vectors(shapes_data, tmp_path):
    lines = [f"{word} {number} 1 0" for number, word in enumerate(("red", "circle", "Zebra", "two-parts", "okapi"))]
    (tmp_path / "vectors.txt").write_text("\n".join(lines))
    embeddings = (f"text.embeddings={tmp_path}/vectors.txt", "training.epochs=1", "text.added_words=9")
    written: list[str] = []
    train(tiny_config(*embeddings), shapes_data, tmp_path / "run", write=written.append)
    assert any(line.startswith("2 words of") for line in written)
    run = load_run(tmp_path / "run")
    assert run.model.assets.vocabulary[-2:] == ("zebra", "okapi")
    ids = run.text_preprocessor(["a zebra", "an okapi"])["word_ids"].numpy()
    assert ids.max() == run.model.vocabulary_size - 1
    assert run.model.text_encoder.embedding.embeddings.shape[0] == run.model.vocabulary_size
    figures = evaluate_run(run, shapes_data)["protocols"]["sentence"]["fused"]["text_to_image"]
    assert 0 < figures["map@all"] <= 1
    train(tiny_config(*embeddings, "text.added_words=1"), shapes_data, tmp_path / "one", write=written.append)
    assert (tmp_path / "one" / "added_words.txt").read_text() == "zebra"


def test_shipped_heads_are_named_to_whoever_has_few_photographs_without_classes(jsonl_source, tmp_path):
    def hint(name, texts, *overrides, label=None):
        lines = [{"image": f"{n}.png", "texts": [text]} | ({"label": label} if label else {}) for n, text in texts]
        prepare("jsonl", jsonl_source(lines, name), tmp_path / "data" / name)
        records = open_split(tmp_path / "data" / name, "train")
        config = load_config("default", list(overrides))
        return shipped_heads_hint(config, records, training_vocabulary(config, records))

    english = [(n, f"a dog runs on the beach {n}") for n in range(12)]
    assert "--config photographs" in hint("english", english)
    assert not hint("german", [(n, f"ein hund läuft am strand {n}") for n in range(12)])
    assert not hint("classes", english, label="dog")
    assert not hint("begun", english, "training.from_preset=flickr8k")
    assert not hint("drawings", english, "image.backbone=small_cnn")
    assert not hint("flickr8k", english)  # which those heads were trained on


@pytest.mark.slow
def test_heads_that_do_not_suit_a_collection_or_know_its_pictures_are_told_of(finished, jsonl_source, tmp_path):
    own = load_run(finished[0]).model
    first = {"dataset": "first", "collection": "1", "terms": "for friends."}
    own.assets.info.update(dataset="strange", derived_from=[first], terms="for tests.")
    preset = own.save_to_preset(tmp_path / "preset")  # keeps its terms
    lines = [{"image": f"{n}.png", "texts": [f"une chose étrange {n}"]} for n in range(12)]
    prepare("jsonl", jsonl_source(lines, "strange"), tmp_path / "data")
    written: list[str] = []
    config = tiny_config(f"training.from_preset={preset}", "training.epochs=1")
    train(config, tmp_path / "data", tmp_path / "run", write=written.append)
    assert any(line.startswith("those are few") for line in written)
    assert any(line.startswith("the heads that training begins with were trained on another") for line in written)
    for terms in ("for friends.", "for tests."):
        assert f"terms of the heads that training begins with: {terms}" in written
    card = (load_run(tmp_path / "run").model.save_to_preset(tmp_path / "again") / "README.md").read_text()
    assert card.index("heads trained on first, whose data's terms hold too: for friends.") < card.index(
        "on strange, whose"
    )


def fine_tuning_config(folder, *overrides):
    """Return a configuration that fine-tunes block mixed8, from random weights that the folder then holds."""
    weights = folder / "first.weights.h5"
    if not weights.exists():
        keras.utils.set_random_seed(0)
        keras.applications.InceptionV3(weights=None, include_top=False).save_weights(weights)
    return tiny_config(
        "image.backbone=inception_v3",
        f"image.weights={weights}",
        "image.image_size=75",
        "image.global_layer=mixed8",
        "image.fine_tune_from=mixed8",
        "training.backbone_learning_rate=0.01",
        *overrides,
    )


@pytest.fixture(scope="module")
def fine_tuned(shapes_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fine-tuned")
    config = fine_tuning_config(folder, "training.epochs=1")
    train(config, shapes_data, folder / "run", write=lambda line: None)
    return folder


@pytest.mark.slow
def test_fine_tuning_moves_the_blocks_it_names_and_nothing_below(fine_tuned):
    first = keras.applications.InceptionV3(weights=None, include_top=False)
    first.load_weights(fine_tuned / "first.weights.h5")
    network = load_run(fine_tuned / "run").model.image_encoder.backbone.network
    moved = {}
    for ours, theirs in zip(network.layers, first.layers, strict=False):
        changed = [not np.array_equal(*pair) for pair in zip(ours.get_weights(), theirs.get_weights(), strict=True)]
        moved.setdefault(type(ours).__name__, []).append((ours.name, any(changed)))
    assert not any(changed for _, changed in moved["BatchNormalization"])
    last_frozen = [layer.name for layer in network.layers].index("mixed7")
    above = {layer.name for layer in network.layers[last_frozen:]}
    assert [changed for name, changed in moved["Conv2D"]] == [name in above for name, _ in moved["Conv2D"]]
    assert sum(changed for _, changed in moved["Conv2D"]) == 6  # of block mixed8


@pytest.mark.slow
def test_fine_tuning_goes_on_after_an_interruption_as_if_there_had_been_none(shapes_data, tmp_path, monkeypatch):
    config = fine_tuning_config(tmp_path, "training.epochs=2", "training.weight_averaging=0.8")
    train(config, shapes_data, tmp_path / "straight", write=lambda line: None)
    with killed_in_epoch(2, monkeypatch):
        train(config, shapes_data, tmp_path / "run", write=lambda line: None)
    train(config, shapes_data, tmp_path / "run", resume=True, write=lambda line: None)
    straight, resumed = (keras.models.load_model(tmp_path / name / "best.keras") for name in ("straight", "run"))
    for ours, theirs in zip(straight.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.slow
def test_a_fine_tuned_model_brings_its_backbone_along(fine_tuned, shapes_data, tmp_path):
    run = load_run(fine_tuned / "run", weights="nowhere.h5")  # the first weights are no longer needed
    assert 0 <= evaluate_run(run, shapes_data)["protocols"]["sentence"]["sentence"]["text_to_image"]["map@all"] <= 1
    run.model.save_to_preset(tmp_path / "preset")
    passed_on = load_run(tmp_path / "preset").model
    images = np.random.default_rng(0).uniform(-1, 1, (2, 75, 75, 3)).astype("float32")
    ours, theirs = (model.encode_images(images)["image_features"] for model in (run.model, passed_on))
    np.testing.assert_allclose(ours, theirs, rtol=0.02, atol=0.02 * float(np.abs(ours).max()))


@pytest.mark.slow
def test_training_begins_with_a_fine_tuned_model_where_it_is_fine_tuned_alike(fine_tuned, shapes_data, tmp_path):
    load_run(fine_tuned / "run").model.save_to_preset(tmp_path / "preset")
    begun = (f"training.from_preset={tmp_path / 'preset'}", "training.epochs=1")
    frozen = fine_tuning_config(fine_tuned, *begun, "image.fine_tune_from=none")
    with pytest.raises(ConfigError, match=r"image\.fine_tune_from is 'none', there 'mixed8'"):
        train(frozen, shapes_data, tmp_path / "run", write=lambda line: None)
    assert not (tmp_path / "run").exists()
    lines = []
    train(fine_tuning_config(fine_tuned, *begun), shapes_data, tmp_path / "run", write=lines.append)
    assert any(line.startswith("heads of ") for line in lines)


def splits_of(run, data):
    """Return records and frozen features of the splits that a run is completed on."""
    records = {name: open_split(data, name) for name in ("train", "validation")}
    return records, {name: split_features(run, data, split) for name, split in records.items()}


def validated_by_one_pair(records, inputs):
    """Return the same with a validation split of one picture with one text, which tells nothing."""
    one = records["validation"].at(np.array([0]))
    told = replace(one, texts=[one.texts[0][:1]])
    return {**records, "validation": told}, {**inputs, "validation": inputs["validation"].at(np.array([0]))}


def validation_of(run, records, inputs):
    embedder = Embedder(run.model, run.text_preprocessor)
    return Validation(embedder, records["validation"], inputs["validation"], run.config.evaluation)


@pytest.fixture(scope="module")
def canonical(shapes_data, tmp_path_factory):
    """Return a run with canonical directions over frozen features of random weights, and what it told."""
    folder = tmp_path_factory.mktemp("canonical")
    words = "\n".join(f"{word} {number} 1" for number, word in enumerate(("red", "blue", "circle", "square", "zebra")))
    (folder / "vectors.txt").write_text(words)
    overrides = ("image.fine_tune_from=none", "training.epochs=1", "model.canonical_dim=4")
    overrides += ("model.querybank_size=8",)
    config = fine_tuning_config(folder, *overrides, f"text.embeddings={folder}/vectors.txt", "text.added_words=9")
    lines: list[str] = []
    train(config, shapes_data, folder / "run", write=lines.append)
    return folder / "run", lines


def test_canonical_directions_are_fitted_when_training_has_ended(canonical, shapes_data):
    run = load_run(canonical[0])
    layer = run.model.canonical
    (told,) = [line for line in canonical[1] if line.startswith("canonical directions (ridge ")]
    weight = float(told.partition("weight ")[2].split()[0])
    assert (float(layer.share.numpy()) > 0) == (weight > 0)
    assert np.abs(layer.rows.numpy()).max() > 0
    assert np.abs(layer.image_map.numpy()).max() > 0
    assert run.model.assets.vocabulary[-1] == "zebra"
    assert layer.rows.numpy()[-1].any()  # known by its vector alone
    features = run.model.encode_texts(run.text_preprocessor(["a red circle"])["word_ids"])["sentence_features"]
    assert features.shape == (1, 16 + 4 + COLUMNS) == (1, run.model.feature_dim)
    trained = run.model.encode_texts(np.ones((1, 3), "int32"), training=True)["sentence_features"]
    assert trained.shape == (1, 16)
    figures = evaluate_run(run, shapes_data, probe=True)
    assert 0 < figures["protocols"]["sentence"]["fused"]["text_to_image"]["map@all"] <= 1


def test_canonical_directions_have_no_say_where_validation_tells_nothing(canonical, shapes_data):
    run = load_run(canonical[0])
    run.model.canonical.share.assign(0.7)
    records, inputs = splits_of(run, shapes_data)
    records, inputs = validated_by_one_pair(records, inputs)
    written: list[str] = []
    vectors = np.zeros((run.model.vocabulary_size, 1), "float32")
    validation = validation_of(run, records, inputs)
    fit_canonical(validation, records["train"], inputs["train"], vectors, written.append)
    assert any(line.startswith("canonical directions have no say") for line in written)
    assert float(run.model.canonical.share.numpy()) == 0


def test_canonical_directions_have_no_share_where_neither_they_nor_sentences_have_a_say(
    canonical, shapes_data, monkeypatch
):
    run = load_run(canonical[0])
    records, inputs = splits_of(run, shapes_data)
    values = iter([1.0, 0.0, 0.0, 1.0])  # of three ridges, then of the weight 0

    def words_alone(*arguments):
        return replace(fit_scores(*arguments), weight=1.0)

    monkeypatch.setattr("dafsn_tf.evaluation.canonical.fit_scores", words_alone)
    monkeypatch.setattr("dafsn_tf.evaluation.canonical.fusion_value", lambda *_: next(values, 0.0))
    vectors = np.zeros((run.model.vocabulary_size, 1), "float32")
    validation = validation_of(run, records, inputs)
    fit_canonical(validation, records["train"], inputs["train"], vectors, lambda line: None)
    assert float(run.model.canonical.share.numpy()) == 0


def test_canonical_directions_of_a_large_collection_are_fitted_to_a_part_of_it(canonical, shapes_data, monkeypatch):
    run = load_run(canonical[0])
    records, inputs = splits_of(run, shapes_data)
    monkeypatch.setattr("dafsn_tf.evaluation.canonical._MOST_IMAGES", 20)
    monkeypatch.setattr("dafsn_tf.evaluation.canonical._MOST_TEXTS", 40)
    written: list[str] = []
    vectors = np.zeros((run.model.vocabulary_size, 1), "float32")
    validation = validation_of(run, records, inputs)
    fit_canonical(validation, records["train"], inputs["train"], vectors, written.append)
    assert written[0] == "fitting canonical directions of 20 images and 40 texts"
    assert run.model.canonical.image_map.numpy().any()


def test_a_resumed_training_is_given_the_directions_of_the_heads_that_it_began_with(
    canonical, shapes_data, tmp_path, monkeypatch
):
    preset = load_run(canonical[0]).model.save_to_preset(tmp_path / "preset")
    config = load_config(canonical[0] / "config.toml", [f"training.from_preset={preset}", "training.epochs=2"])
    given = []

    def spy(*arguments):
        given.append(arguments[-1])
        fit_canonical(*arguments)

    options = {"write": lambda line: None}
    with killed_in_epoch(2, monkeypatch):
        train(config, shapes_data, tmp_path / "run", **options)
    monkeypatch.setattr("dafsn_tf.evaluation.canonical.fit_canonical", spy)
    train(config, shapes_data, tmp_path / "run", resume=True, **options)
    (brought,) = given
    source, run = load_heads(preset), load_run(tmp_path / "run")
    assert run.model.assets.vocabulary == source.assets.vocabulary  # added words too
    for name in FITTED_WEIGHTS:
        np.testing.assert_array_equal(brought[name], getattr(source.canonical, name).numpy())


@pytest.mark.parametrize("useful", [True, False])
def test_directions_of_the_heads_that_training_began_with_are_kept_where_they_rank_better(
    canonical, shapes_data, useful
):
    run = load_run(canonical[0])
    layer = run.model.canonical
    brought = {name: getattr(layer, name).numpy() for name in FITTED_WEIGHTS}
    records, inputs = splits_of(run, shapes_data)
    if useful:
        mixed = np.random.default_rng(0).permutation(len(records["train"]))
        inputs["train"] = inputs["train"].at(mixed)  # pictures of others' texts teach nothing
    else:
        brought |= {name: -brought[name] for name in ("image_map", "image_bias")}  # the best comes last
    written: list[str] = []
    vectors = np.zeros((run.model.vocabulary_size, 1), "float32")
    validation = validation_of(run, records, inputs)
    fit_canonical(validation, records["train"], inputs["train"], vectors, written.append, brought)
    assert ("beside those of the heads that training began with" in written[-1]) == useful


def test_a_querybank_is_fitted_last_and_what_it_says_is_what_it_does(canonical, shapes_data):
    run = load_run(canonical[0])
    bank = run.model.querybank
    (told,) = [line for line in canonical[1] if line.startswith("cosines are held against a bank of ")]
    assert canonical[1].index(told) > max(
        number for number, line in enumerate(canonical[1]) if line.startswith("canonical directions")
    )
    weight = float(told.partition("weight ")[2].split(",")[0])
    assert weight in WEIGHTS
    assert (float(bank.strength.numpy()) > 0) == (weight > 0)
    np.testing.assert_allclose(np.exp(bank.text_shares.numpy()).sum(), 1, rtol=1e-4)
    assert (np.linalg.norm(bank.image_centres.numpy(), axis=1) <= 1 + 1e-5).all()

    records, inputs = splits_of(run, shapes_data)
    embedder = Embedder(run.model, run.text_preprocessor)
    bank.strength.assign(0.0)
    train = embedder.embed_split(records["train"], inputs["train"], texts_per_image=1)
    for nearness, rows in (
        (bank.text_nearness, train.sentences),
        (bank.image_nearness, train.images),
    ):
        found = nearness(rows[:, : bank.dim]).numpy()
        np.testing.assert_allclose(found.mean(), 0, atol=1e-4)
        assert np.abs(found).max() <= float(bank.bound.numpy())
    plain = embedder.embed_split(records["validation"], inputs["validation"])
    bank.strength.assign(0.4)
    held = embedder.embed_split(records["validation"], inputs["validation"])
    cosines, less = (sentence_scores(each.sentences, each.images) for each in (plain, held))
    near = [
        side(rows[:, : bank.dim]).numpy()
        for side, rows in ((bank.text_nearness, plain.sentences), (bank.image_nearness, plain.images))
    ]
    near = [np.clip(side, -bank.bound.numpy(), bank.bound.numpy()) for side in near]
    scale = 1 + 2 * 0.4 * float(bank.bound.numpy())
    np.testing.assert_allclose(less * scale, cosines - 0.4 * (near[0][:, None] + near[1]), atol=1e-4)


def test_the_strength_that_is_kept_ranks_as_the_weight_that_was_chosen(canonical, shapes_data, monkeypatch):
    run = load_run(canonical[0])
    records, inputs = splits_of(run, shapes_data)
    tried: dict[float, np.ndarray] = {}
    monkeypatch.setattr("dafsn_tf.evaluation.querybank.SHARPNESS", (10.0,))
    monkeypatch.setattr("dafsn_tf.evaluation.querybank._MARGIN", 9.0)  # so few pictures do not tell how far others go

    def value(scores, collection, metric):
        tried[len(tried)] = scores
        return float(len(tried) == 1 + WEIGHTS.index(0.75))  # whatever validation says, .75 it is

    monkeypatch.setattr("dafsn_tf.evaluation.querybank.fusion_value", value)
    written: list[str] = []
    validation = validation_of(run, records, inputs)
    run.model.querybank.strength.assign(0.0)
    fusion = fit_scores(validation.embedder, *validation.scored(), run.config.evaluation)
    fit_querybank(validation, records["train"], inputs["train"], written.append)
    assert "weight 0.75, sharpness 10" in written[0]
    embeddings, scores = validation.scored()
    bank = run.model.querybank
    scale = 1 + 2 * float(bank.strength.numpy()) * float(bank.bound.numpy())
    scores["sentence"] = scale * scores["sentence"]
    found, expected = fused_scores(validation.embedder, embeddings, scores, fusion), tried[WEIGHTS.index(0.75)]
    np.testing.assert_allclose(found - found.mean(), expected - expected.mean(), atol=2e-3)


def test_the_modality_gap_is_that_of_what_was_learned(canonical, shapes_data):
    run = load_run(canonical[0])
    run.model.querybank.strength.assign(0.7)
    gap = evaluate_run(run, shapes_data, probe=True)["modality_gap"]
    run.model.querybank.strength.assign(0.0)
    assert evaluate_run(run, shapes_data, probe=True)["modality_gap"] == pytest.approx(gap, abs=1e-3)
    assert measure_run("run", run, shapes_data, open_split(shapes_data, "test")).gap == pytest.approx(gap, abs=1e-3)


def test_a_querybank_has_no_say_where_sentences_have_none_or_all_pairs_score_alike(canonical, shapes_data):
    run = load_run(canonical[0])
    run.model.querybank.strength.assign(0.7)
    records, inputs = splits_of(run, shapes_data)
    records, inputs = validated_by_one_pair(records, inputs)
    written: list[str] = []
    validation = validation_of(run, records, inputs)
    fit_querybank(validation, records["train"], inputs["train"], written.append)
    assert written[0].startswith("a querybank has no say")
    assert float(run.model.querybank.strength.numpy()) == 0


def test_canonical_directions_are_passed_on(canonical, shapes_data, tmp_path):
    run = load_run(canonical[0])
    run.model.canonical.share.assign(0.5)  # whatever was chosen
    run.model.querybank.strength.assign(0.5)
    passed_on = load_run(run.model.save_to_preset(tmp_path / "preset"))
    texts = run.text_preprocessor(["a red circle", "a zebra"])["word_ids"]
    ours, theirs = (each.model.encode_texts(texts)["sentence_features"].numpy() for each in (run, passed_on))
    np.testing.assert_allclose(theirs, ours, atol=2e-3)  # float16
    assert np.abs(ours[:, 16:]).max() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("float16", "only"), [(False, None), (True, None), (False, "text")])
def test_canonical_directions_are_served(canonical, shapes_data, tmp_path, float16, only):
    run = load_run(canonical[0])
    run.model.canonical.share.assign(0.5)
    run.model.querybank.strength.assign(0.5)
    options = ExportOptions(only, float16)
    export_run(run, tmp_path / "models", data=shapes_data, options=options)  # refuses what differs from the model
