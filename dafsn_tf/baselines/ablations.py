"""The ablations: what is taken from the full model, or changed in it, each as overrides of its configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from dafsn_tf.config import Attention, Config, Positives

FULL = "full"
ADVERSARIAL_WEIGHT = 0.1  # dafsn_paper's, where an ablation is of an adversary that the full model has not

CLASSES, INCEPTION, FROZEN = "classes", "Inception-v3's regions", "a frozen backbone"
WORDS, FUSED, VECTORS = "a loss of words", "a loss of fused scores", "pre-trained word vectors"
CLASSES_OF_WORDS = "classes and a loss of word scores alone"
WORDS_OVER_REGIONS = "a loss of words over Inception-v3's regions"


@dataclass(frozen=True)
class Ablation:
    """A change of the full model.

    Attributes:
        name: as the command line and the table name it.
        overrides: values by `section.field`.
        needs: what the full model or its collection must have for the change to say anything; "" for nothing.
        adversary: the change is of the adversary, which a full model without one is given.
    """

    name: str
    overrides: Mapping[str, Any]
    needs: str = ""
    adversary: bool = False

    def apply(self, config: Config) -> Config:
        """Return the configuration with the overrides."""
        values = config.to_dict()
        if self.adversary and not config.loss.has_adversary:
            values["loss"]["adversarial_weight"] = ADVERSARIAL_WEIGHT
        for path, value in self.overrides.items():
            section, _, field = path.partition(".")
            values[section][field] = value
        return Config.from_dict(values, where=f"ablation {self.name}")


# Without a classifier, as in DAMSM, classes only say which pairs are not pushed apart. An epoch is chosen by a score
# that the model learns: without words by sentences, without sentences by words, which of all texts would take long. max
# and gpo pool regions of mixed7, whatever other layers the mean has: to be held against image_mixed7. Canonical
# directions are fitted over a frozen backbone: fine_tuned is to be held against without_canonical.
ABLATIONS = {
    ablation.name: ablation
    for ablation in (
        Ablation(FULL, {}),
        Ablation(
            "without_words",
            {"loss.word_weight": 0.0, "loss.fused_weight": 0.0, "evaluation.selection_score": "sentence"},
            WORDS,
        ),
        Ablation(
            "without_sentence",
            {
                "loss.word_weight": 1.0,
                "loss.sentence_weight": 0.0,
                "loss.fused_weight": 0.0,
                "evaluation.selection_score": "word",
                "evaluation.selection_texts": 1,
            },
            WORDS,
        ),
        Ablation("without_fused", {"loss.fused_weight": 0.0}, FUSED),
        Ablation("with_fused", {"loss.fused_weight": 1.0}),
        Ablation("without_adversary", {"loss.adversarial_weight": 0.0}),
        Ablation("with_adversary", {}, adversary=True),
        Ablation(
            "without_labels",
            {"loss.label_weight": 0.0, "loss.sentence_positives": "pairs", "loss.word_positives": "pairs"},
            CLASSES,
        ),
        Ablation(
            "without_classifier",
            {
                "loss.label_weight": 0.0,
                "loss.sentence_positives": "mask_same_class",
                "loss.word_positives": "mask_same_class",
            },
            CLASSES,
        ),
        Ablation("without_word_vectors", {"text.embeddings": "none"}, VECTORS),
        Ablation("without_added_words", {"text.added_words": 0}, VECTORS),
        Ablation("without_canonical", {"model.canonical_dim": 0}, FROZEN),
        Ablation("with_canonical", {"model.canonical_dim": 256}, FROZEN),
        Ablation("without_querybank", {"model.querybank_size": 0}),
        Ablation("with_querybank", {"model.querybank_size": 128}),
        Ablation("words_by_product", {"model.similarity": "product", "model.gamma1": 5.0}, WORDS),
        Ablation("words_by_cosine", {"model.similarity": "cosine", "model.gamma1": 10.0}, WORDS),
        Ablation("words_in_context", {"text.word_features": "lstm"}, WORDS),
        Ablation("words_by_themselves", {"text.word_features": "embedding"}, WORDS),
        Ablation("words_log_mean_exp", {"model.word_pooling": "log_mean_exp"}, WORDS),
        Ablation("words_log_sum_exp", {"model.word_pooling": "log_sum_exp"}, WORDS),
        Ablation("words_mean", {"model.word_pooling": "mean"}, WORDS),
        *(Ablation(f"attention_{who}", {"model.attention": who}, WORDS) for who in get_args(Attention)),
        Ablation("region_dropout", {"image.region_dropout": 0.2}, WORDS),
        *(Ablation(f"sentence_{kind}", {"text.sentence_pooling": kind}) for kind in ("last", "mean", "max", "gpo")),
        *(Ablation(f"image_{kind}", {"image.global_pooling": kind}, INCEPTION) for kind in ("mean", "max", "gpo")),
        Ablation("image_mixed7", {"image.global_layer": "mixed7"}, FROZEN),
        Ablation("fine_tuned", {"image.fine_tune_from": "mixed7"}, INCEPTION),
        Ablation("without_augmentation", {"image.augmentation": "none"}, FROZEN),
        Ablation("without_flip_averaging", {"image.flip_averaging": False}, FROZEN),
        Ablation("without_word_dropout", {"text.word_dropout": 0.0}),
        Ablation("constant_rate", {"training.schedule": "constant"}),
        Ablation("cosine_rate", {"training.schedule": "cosine"}),
        Ablation("hardest_negative", {"loss.matching": "hardest_negative"}),
        Ablation("learned_gamma3", {"loss.learned_gamma3": True}),
        *(
            Ablation(f"sentence_positives_{kind}", {"loss.sentence_positives": kind}, CLASSES)
            for kind in get_args(Positives)
        ),
        *(
            Ablation(f"word_positives_{kind}", {"loss.word_positives": kind}, CLASSES_OF_WORDS)
            for kind in get_args(Positives)
        ),
        Ablation("weight_averaging", {"training.weight_averaging": 0.99}),
        *(Ablation(f"k_{steps}", {"discriminator.steps": steps}, adversary=True) for steps in (1, 3, 5)),
        Ablation("regions_17x17", {"image.region_layer": "mixed7", "image.region_grid": 0}, WORDS_OVER_REGIONS),
        Ablation("regions_6x6", {"image.region_layer": "mixed7", "image.region_grid": 6}, WORDS_OVER_REGIONS),
        *(
            Ablation(f"adversary_{kind}", {"loss.adversarial_kind": kind}, adversary=True)
            for kind in ("flipped_labels", "uniform_targets", "gradient_reversal")
        ),
        Ablation("adversary_weight_1", {"loss.adversarial_weight": 1.0}),
        Ablation("adversary_on_words", {"discriminator.inputs": "local"}, WORDS, adversary=True),
        Ablation("adversary_on_both", {"discriminator.inputs": "both"}, WORDS, adversary=True),
    )
}


def ablations_of(config: Config, classes: int) -> tuple[dict[str, Config], dict[str, str]]:
    """Return the configurations of the ablations by name, and why the others are left out.

    Args:
        config: the full model's.
        classes: of the collection.
    """
    has = {
        "": True,
        CLASSES: classes > 0,
        WORDS: config.loss.learns_words,
        FUSED: config.loss.fused_weight > 0,
        CLASSES_OF_WORDS: classes > 0 and config.loss.word_weight > 0,
        VECTORS: config.text.embeddings != "none" and not config.given_fields,  # heads bring their own
        INCEPTION: config.image.backbone == "inception_v3",
        WORDS_OVER_REGIONS: config.loss.learns_words and config.image.backbone == "inception_v3",
        FROZEN: not config.image.trains_backbone,
    }
    chosen, left_out = {}, {}
    for name, ablation in ABLATIONS.items():
        if not has[ablation.needs]:
            left_out[name] = f"it needs {ablation.needs}"
            continue
        changed = ablation.apply(config)
        given = next((path for path in config.given_fields if config.get(path) != changed.get(path)), "")
        if given:
            left_out[name] = f"the heads that training begins with decide {given}"
            continue
        same = next((other for other, values in chosen.items() if values == changed), "")
        if same:
            left_out[name] = f"{'the full model' if same == FULL else same} is so"
        else:
            chosen[name] = changed
    return chosen, left_out
