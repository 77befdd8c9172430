"""The ablations: what is taken from the full model, or changed in it, each as overrides of its configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dafsn_tf.config import Config

FULL = "full"

CLASSES, ADVERSARY, INCEPTION = "classes", "an adversary", "Inception-v3's regions"
WORDS, FUSED, VECTORS = "a loss of words", "a loss of fused scores", "pre-trained word vectors"


@dataclass(frozen=True)
class Ablation:
    """A change of the full model.

    Attributes:
        name: as the command line and the table name it.
        overrides: values by `section.field`.
        needs: what the full model or its collection must have for the change to say anything; "" for nothing.
    """

    name: str
    overrides: Mapping[str, Any]
    needs: str = ""

    def apply(self, config: Config) -> Config:
        """Return the configuration with the overrides."""
        values = config.to_dict()
        for path, value in self.overrides.items():
            section, _, field = path.partition(".")
            values[section][field] = value
        return Config.from_dict(values, where=f"ablation {self.name}")


# An epoch is chosen by a score that the model learns: without words by sentences, without sentences by words, which of
# all texts would take long.
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
        Ablation("without_adversary", {"loss.adversarial_weight": 0.0}, ADVERSARY),
        Ablation(
            "without_labels",
            {"loss.label_weight": 0.0, "loss.sentence_positives": "pairs", "loss.word_positives": "pairs"},
            CLASSES,
        ),
        Ablation("without_word_vectors", {"text.embeddings": "none"}, VECTORS),
        Ablation("words_by_product", {"model.similarity": "product", "model.gamma1": 5.0}, WORDS),
        Ablation("words_by_cosine", {"model.similarity": "cosine", "model.gamma1": 10.0}, WORDS),
        Ablation("words_in_context", {"text.word_features": "lstm"}, WORDS),
        Ablation("words_by_themselves", {"text.word_features": "embedding"}, WORDS),
        Ablation("words_log_mean_exp", {"model.word_pooling": "log_mean_exp"}, WORDS),
        Ablation("words_log_sum_exp", {"model.word_pooling": "log_sum_exp"}, WORDS),
        Ablation("words_mean", {"model.word_pooling": "mean"}, WORDS),
        *(Ablation(f"sentence_{kind}", {"text.sentence_pooling": kind}) for kind in ("last", "mean", "max", "gpo")),
        *(Ablation(f"image_{kind}", {"image.global_pooling": kind}, INCEPTION) for kind in ("mean", "max", "gpo")),
        Ablation("hardest_negative", {"loss.matching": "hardest_negative"}),
        Ablation("k_1", {"discriminator.steps": 1}, ADVERSARY),
        Ablation("k_3", {"discriminator.steps": 3}, ADVERSARY),
        Ablation("k_5", {"discriminator.steps": 5}, ADVERSARY),
        Ablation("regions_17x17", {"image.region_layer": "mixed7", "image.region_grid": 0}, INCEPTION),
        Ablation("regions_6x6", {"image.region_layer": "mixed7", "image.region_grid": 6}, INCEPTION),
        *(
            Ablation(f"adversary_{kind}", {"loss.adversarial_kind": kind}, ADVERSARY)
            for kind in ("flipped_labels", "uniform_targets", "gradient_reversal")
        ),
        Ablation("adversary_weight_1", {"loss.adversarial_weight": 1.0}, ADVERSARY),
        Ablation("adversary_on_words", {"discriminator.inputs": "local"}, ADVERSARY),
        Ablation("adversary_on_both", {"discriminator.inputs": "both"}, ADVERSARY),
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
        ADVERSARY: config.loss.adversarial_weight > 0,
        WORDS: config.loss.learns_words,
        FUSED: config.loss.fused_weight > 0,
        VECTORS: config.text.embeddings != "none",
        INCEPTION: config.image.backbone == "inception_v3",
    }
    chosen, left_out = {}, {}
    for name, ablation in ABLATIONS.items():
        if not has[ablation.needs]:
            left_out[name] = f"it needs {ablation.needs}"
            continue
        changed = ablation.apply(config)
        if changed == config and name != FULL:
            left_out[name] = "the full model is so"
        else:
            chosen[name] = changed
    return chosen, left_out
