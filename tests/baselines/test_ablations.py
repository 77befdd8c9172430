import dataclasses
import itertools
import json

import pytest

from dafsn_tf import baselines
from dafsn_tf.baselines.ablations import ABLATIONS, ADVERSARIAL_WEIGHT, FULL, ablations_of
from dafsn_tf.config import Config, load_config
from dafsn_tf.errors import ConfigError, RunError
from dafsn_tf.evaluation.evaluate import evaluate_run
from dafsn_tf.models.presets import load_heads, preset_folder
from dafsn_tf.models.transfer import check_fits
from dafsn_tf.reporting.comparison import ablation_table
from dafsn_tf.runs import load_run

pytestmark = pytest.mark.usefixtures("colour_backbone")


@pytest.fixture(scope="module")
def data(prepared):
    return prepared()


def differences(config, other):
    ours, theirs = config.to_dict(), other.to_dict()
    return {
        f"{section}.{name}": theirs[section][name]
        for section, fields in ours.items()
        for name, value in fields.items()
        if theirs[section][name] != value
    }


@pytest.mark.parametrize("preset", ["default", "flickr8k", "pascal_sentence", "dafsn_paper"])
def test_an_ablation_changes_what_it_names_and_nothing_else(preset):
    config = load_config(preset)
    chosen, left_out = ablations_of(config, classes=20)
    assert set(chosen) | set(left_out) == set(ABLATIONS)
    assert chosen[FULL] == config
    for name, changed in chosen.items():
        changes = differences(config, changed)
        if ABLATIONS[name].adversary and not config.loss.adversarial_weight:
            assert changes.pop("loss.adversarial_weight") == ADVERSARIAL_WEIGHT
        assert changes.items() <= dict(ABLATIONS[name].overrides).items()
        assert (changed != config) == (name != FULL)
    assert all(chosen[one] != chosen[other] for one, other in itertools.combinations(chosen, 2))


def test_an_adversary_is_added_to_a_model_without_one():
    chosen, left_out = ablations_of(load_config("flickr8k"), classes=0)
    assert chosen[FULL].loss.adversarial_weight == 0
    assert chosen["with_adversary"].loss.adversarial_weight == ADVERSARIAL_WEIGHT
    assert chosen["adversary_weight_1"].loss.adversarial_weight == 1
    reversal = chosen["adversary_gradient_reversal"].loss
    assert (reversal.adversarial_weight, reversal.adversarial_kind) == (ADVERSARIAL_WEIGHT, "gradient_reversal")
    assert chosen["k_5"].discriminator.steps == 5
    assert left_out["without_adversary"] == "the full model is so"
    assert left_out["k_1"] == left_out["adversary_flipped_labels"] == "with_adversary is so"


def test_parts_are_taken_away():
    chosen, _ = ablations_of(
        load_config("pascal_sentence", ["loss.adversarial_weight=0.1", "loss.fused_weight=1.0"]), classes=20
    )
    assert chosen["without_words"].loss.word_weight == 0
    assert chosen["without_words"].evaluation.selection_score == "sentence"
    assert chosen["without_sentence"].loss.sentence_weight == chosen["without_sentence"].loss.fused_weight == 0
    assert chosen["without_sentence"].evaluation.selection_score == "word"
    assert chosen["without_adversary"].loss.adversarial_weight == 0
    loss = chosen["without_labels"].loss
    assert (loss.label_weight, loss.word_positives, loss.sentence_positives) == (0, "pairs", "pairs")
    loss = chosen["without_classifier"].loss
    assert loss.label_weight == 0
    assert loss.word_positives == loss.sentence_positives == "mask_same_class"


def test_what_says_nothing_is_left_out_with_the_reason():
    settings = ["loss.adversarial_weight=0.3", "image.region_grid=6", "model.word_pooling=mean"]
    _, left_out = ablations_of(load_config("flickr8k", settings), classes=0)
    assert left_out["without_labels"] == "it needs classes"
    assert left_out["with_adversary"] == left_out["k_1"] == "the full model is so"
    assert left_out["regions_6x6"] == left_out["words_mean"] == "the full model is so"
    _, left_out = ablations_of(load_config("shapes"), classes=3)
    assert left_out["regions_17x17"] == "it needs a loss of words over Inception-v3's regions"
    assert left_out["image_max"] == "it needs Inception-v3's regions"
    _, left_out = ablations_of(load_config("default", ["image.fine_tune_from=mixed8"]), classes=0)
    assert left_out["without_canonical"] == left_out["with_canonical"] == "it needs a frozen backbone"
    no_words = ["loss.word_weight=0.0", "loss.fused_weight=0.0"]
    _, left_out = ablations_of(load_config("default", no_words), classes=3)
    assert left_out["without_words"] == left_out["words_mean"] == "it needs a loss of words"
    assert left_out["attention_both"] == left_out["region_dropout"] == "it needs a loss of words"
    assert left_out["adversary_on_words"] == left_out["adversary_on_both"] == "it needs a loss of words"
    assert left_out["regions_17x17"] == "it needs a loss of words over Inception-v3's regions"


def test_options_are_rows_where_they_can_tell_something():
    chosen, left_out = ablations_of(load_config("pascal_sentence"), classes=20)
    assert chosen["with_fused"].loss.fused_weight == 1
    assert chosen["learned_gamma3"].loss.learned_gamma3
    assert chosen["weight_averaging"].training.weight_averaging == 0.99
    assert chosen["sentence_positives_same_class"].loss.sentence_positives == "same_class"
    assert chosen["without_augmentation"].image.augmentation == "none"
    assert not chosen["without_flip_averaging"].image.flip_averaging
    assert chosen["fine_tuned"].image.trains_backbone
    assert chosen["cosine_rate"].training.schedule == "cosine"
    assert left_out["constant_rate"] == "the full model is so"
    assert ablations_of(load_config("default"), 0)[1]["without_augmentation"] == "the full model is so"
    assert left_out["sentence_positives_pairs"] == "the full model is so"
    assert left_out["word_positives_same_class"] == "it needs classes and a loss of word scores alone"
    chosen, left_out = ablations_of(load_config("dafsn_paper"), classes=20)
    assert chosen["word_positives_same_class"].loss.word_positives == "same_class"
    assert chosen["attention_both"].model.attention == "both"
    assert left_out["attention_words_to_regions"] == "the full model is so"
    assert ablations_of(load_config("dafsn_paper"), classes=0)[1]["sentence_positives_same_class"] == "it needs classes"


def test_what_the_heads_decide_that_training_begins_with_is_no_ablation():
    chosen, left_out = ablations_of(load_config("photographs"), classes=0)
    assert left_out["sentence_mean"] == "the heads that training begins with decide text.sentence_pooling"
    assert left_out["image_mixed7"] == "the heads that training begins with decide image.global_layer"
    heads = load_heads(preset_folder("flickr8k"))
    for config in chosen.values():
        check_fits(config, heads)
    assert left_out["without_word_vectors"] == "it needs pre-trained word vectors"
    assert {"full", "without_words", "words_mean", "with_adversary"} <= set(chosen)


def ablate(data, out, config, **options):
    return baselines.ablate([data], out, config=config, **{"write": lambda line: None, **options})


@pytest.mark.slow
def test_a_run_has_figures_gap_and_gradients_and_is_made_once(data, config, tmp_path, monkeypatch):
    config = dataclasses.replace(config, loss=dataclasses.replace(config.loss, adversarial_weight=0.1))
    found = ablate(data, tmp_path, config, only=["without_words"])
    (record,) = found.runs
    assert record["method"] == "without_words"
    assert Config.from_dict(record["settings"]) == ablations_of(config, 3)[0]["without_words"]
    assert [entry.split(" on ")[0] for entry in found.missing][:2] == [FULL, "without_sentence"]
    assert any(entry.startswith("regions_") for entry in found.missing)
    assert any(entry.startswith("k_1 on ") and entry.endswith("the full model is so") for entry in found.skipped)
    assert len(record["adversarial_gradient"]) == len(record["retrieval_gradient"]) == config.training.epochs
    assert min(*record["adversarial_gradient"], *record["retrieval_gradient"]) > 0
    assert set(record["modality_gap"]) == {"probe_accuracy", "linear_probe_accuracy", "centroid_distance"}
    assert "without_words" in ablation_table(found.runs, found.missing, found.skipped)

    monkeypatch.setattr("dafsn_tf.baselines.ablation_runs.trained_run", None)  # no run is made again
    assert ablate(data, tmp_path, config, only=["without_words"]) == found


@pytest.mark.slow
def test_an_interrupted_ablation_goes_on(data, config, tmp_path, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dafsn_tf.baselines.ablation_runs.modality_gap", stop)
        with pytest.raises(KeyboardInterrupt):
            ablate(data, tmp_path, config, only=[FULL])
    assert not list(tmp_path.glob("*.json"))
    weights = next(tmp_path.glob("full-*/best.keras"))
    written = weights.stat().st_mtime_ns
    assert len(ablate(data, tmp_path, config, only=[FULL]).runs) == 1
    assert weights.stat().st_mtime_ns == written  # the training that had ended was not repeated
    record = json.loads(next(tmp_path.glob("full-*.json")).read_text())
    evaluation = evaluate_run(load_run(weights.parent), data, probe=True)
    assert record["modality_gap"] == evaluation["modality_gap"]
    assert record["score"] == "fused"
    for name in ("protocols", "chance", "queries"):
        assert record["test"][name] == evaluation[name]
    wider = dataclasses.replace(config, model=dataclasses.replace(config.model, dim=10))
    with pytest.raises(RunError, match=r"full-colours-.*another configuration.*--config"):
        ablate(data, tmp_path, wider, only=[FULL])


@pytest.mark.slow
def test_every_ablation_runs(data, config, tmp_path):
    config = dataclasses.replace(config, loss=dataclasses.replace(config.loss, adversarial_weight=0.1))
    wanted = ablations_of(config, 3)[0]
    # The stand-in for a frozen Inception-v3 has always one region, and cannot stand for one that learns.
    left = [name for name, one in wanted.items() if name.startswith("regions_") or one.image.trains_backbone]
    found = ablate(data, tmp_path, config, only=[name for name in wanted if name not in left])
    assert [entry.split(" on ")[0] for entry in found.missing] == left
    assert [run["method"] for run in found.runs] == [name for name in wanted if name not in left]
    table = ablation_table(found.runs, found.missing, found.skipped)
    assert all(f"| {run['method']} " in table for run in found.runs)
    gradients = {run["method"]: run["adversarial_gradient"] for run in found.runs}
    assert gradients["without_adversary"] == [0.0]
    assert all(json.loads(file.read_text())["modality_gap"] for file in tmp_path.glob("*.json"))


def test_an_unknown_ablation_is_named(data, config, tmp_path):
    with pytest.raises(ConfigError, match=r"no ablation 'without_word'. Known: full, without_words"):
        ablate(data, tmp_path, config, only=["without_word"])
