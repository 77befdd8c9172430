"""Configuration: frozen dataclasses, read from and written to TOML.

A configuration is one file (`load_config("shapes")` for a preset, or a path), then `--set section.field=value`. What a
file of one's own does not name is as in the preset `default`. The resolved configuration is stored with every run and
every exported version, with every field. Defaults of the classes are those of the preset `default`, but for
`training.min_steps` and the `training.weight_decay` that goes with it, for what is said in Python does not depend on
the collection, and for `text.added_words`, `model.canonical_dim` and `model.querybank_size`, which runs of earlier
versions do not name.
"""

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from dafsn_tf.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Must:
    """What a number must be, in words that follow "must", and the test of it."""

    be: str
    holds: Callable[[Any], bool]


Count = Annotated[int, Must("be at least 1", lambda value: value >= 1)]
CountOrNone = Annotated[int, Must("not be negative", lambda value: value >= 0)]
Pairs = Annotated[int, Must("be at least 2: matching needs two pairs", lambda value: value >= 2)]
EvenDim = Annotated[
    int, Must("be even and at least 2 (half for each LSTM direction)", lambda value: value >= 2 and value % 2 == 0)
]
Positive = Annotated[float, Must("be positive", lambda value: value > 0)]
NotNegative = Annotated[float, Must("not be negative", lambda value: value >= 0)]
Share = Annotated[float, Must("be in [0, 1)", lambda value: 0 <= value < 1)]
Decay = Annotated[float, Must("be in (0, 1]", lambda value: 0 < value <= 1)]


@dataclass(frozen=True)
class TextConfig:
    """Words: tokeniser, vocabulary and `TextEncoder`."""

    max_words: Count = 32  # T, words kept of a text; the rest is cut
    max_vocabulary: Count = 20_000  # most frequent words of the training split
    min_count: Count = 1  # occurrences in the training split that put a word into the vocabulary
    oov_buckets: Count = 16  # ids shared, by hash, among the words outside the vocabulary
    embedding_dim: Count = 300  # width of word embeddings; AttnGAN
    dropout: Share = 0.3  # on embeddings, [0, 1); AttnGAN: 0.5
    word_dropout: Share = 0.05  # share of words that an out-of-vocabulary id replaces in training; Bowman et al., 2016
    sentence_pooling: Literal["last", "mean", "max", "gpo"] = "max"  # sentence feature: last states, or of the words
    word_features: Literal["lstm", "embedding"] = "embedding"  # of the word in its text | of the word by itself
    embeddings: str = (
        "glove"  # first values of word embeddings: "none", "glove" (shipped) or a GloVe/fastText text file
    )
    added_words: CountOrNone = 0  # words of embeddings, from the first on, known beside the trained; Kiros et al., 2015


Block = Literal["none", "mixed5", "mixed6", "mixed7", "mixed8", "mixed9", "mixed10"]
GlobalLayer = Literal["mixed7", "mixed8", "mixed10", "mixed7+mixed8", "mixed7+mixed8+mixed9+mixed10"]


@dataclass(frozen=True)
class ImageConfig:
    """Pictures: backbone and `ImageEncoder`.

    Mirrored training images: Krizhevsky et al., ImageNet Classification with Deep CNNs, NIPS 2012. Dropped regions:
    Chen et al., Learning the Best Pooling Strategy for Visual Semantic Embedding, CVPR 2021. A backbone that is
    fine-tuned from some block on: Yosinski et al., How Transferable Are Features in Deep Neural Networks?, NIPS 2014.
    """

    backbone: Literal["inception_v3", "small_cnn"] = "inception_v3"  # for photographs | trained anew, for drawings
    weights: str = "imagenet"  # "imagenet", "none" or a .h5 file; DAFSN_INCEPTION_WEIGHTS stands in for "imagenet"
    image_size: Count = 299  # pixels, height and width
    region_layer: Literal["mixed7", "mixed8", "mixed10"] = "mixed7"  # Inception-v3's map for regions
    global_layer: GlobalLayer = "mixed7+mixed8"  # Inception-v3's map for the whole image; of several, each average
    global_pooling: Literal["mean", "max", "gpo"] = "mean"  # image feature: from global_layer, or from the regions
    region_grid: CountOrNone = 6  # regions pooled to this many cells a side; 0 keeps the layer's own map
    dropout: Share = 0.2  # on backbone features, [0, 1)
    region_dropout: Share = 0.0  # share of whole regions dropped in training, [0, 1)
    augmentation: Literal["none", "flip"] = "none"  # flip: seen mirrored as often
    flip_averaging: bool = False  # outside training, features are averaged with the mirror image's: twice the work
    fine_tune_from: Block = "none"  # Inception-v3's first block that is trained too, from pixels: hours, not minutes

    @property
    def trains_backbone(self) -> bool:
        """Whether the backbone learns: it then reads pixels, and its features cannot be kept."""
        return self.backbone == "small_cnn" or self.fine_tune_from != "none"


Attention = Literal["words_to_regions", "regions_to_words", "both"]


@dataclass(frozen=True)
class ModelConfig:
    """The aligned space and its words-to-regions attention (DESIGN section 2)."""

    dim: EvenDim = 512  # D, width of the aligned space; even
    canonical_dim: CountOrNone = 0  # L, canonical directions fitted beside it, over a frozen backbone; 0: none
    querybank_size: CountOrNone = 0  # K, centres of training texts and of images; 0: none; Bogolin et al., CVPR 2022
    gamma1: NotNegative = 10.0  # sharpness of attention over regions; Eq 8-9 (5 there, for products)
    gamma2: Positive = 5.0  # sharpness of pooling over words; Eq 10
    word_pooling: Literal["log_mean_exp", "log_sum_exp", "mean"] = "log_sum_exp"  # word relevances to one score
    attention: Attention = "words_to_regions"  # who attends to whom; Eq 7-9, and SCAN's image-to-text form
    similarity: Literal["product", "cosine"] = (
        "cosine"  # of words and regions, Eq 7 | softmax over regions of gamma1 cos
    )


Positives = Literal["pairs", "mask_same_class", "same_class"]


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss, and what its terms are.

    L = word_weight (L1w + L2w) + sentence_weight (L1s + L2s) + fused_weight (L1f + L2f) + label_weight L_label
    + adversarial_weight L_adv.

    A temperature that is learned: Radford et al., Learning Transferable Visual Models From Natural Language Supervision
    (CLIP), ICML 2021. The hinge of the hardest negatives: Faghri et al., VSE++, BMVC 2018.
    """

    matching: Literal["cross_entropy", "hardest_negative"] = "cross_entropy"  # Eq 11-12 | VSE++'s hinge
    gamma3: Positive = 16.0  # sharpness of matching in a batch; Eq 11 (10 there)
    learned_gamma3: bool = False  # gamma3 is where it begins, then it is learned
    margin: Positive = 0.2  # of the hinge; VSE++
    hinge_warmup_steps: CountOrNone = 200  # first steps in which the hinge takes all negatives, not the hardest
    word_weight: NotNegative = 0.1
    sentence_weight: NotNegative = 1.0
    fused_weight: NotNegative = 1.0  # matching by the sum of both scores: words learn what sentences lack
    label_weight: NotNegative = 1.0  # without effect where a set has no labels
    adversarial_weight: NotNegative = 0.0  # 0 switches the adversary off
    word_positives: Positives = "pairs"  # what counts as a match beside the pair itself
    sentence_positives: Positives = "same_class"
    adversarial_kind: Literal["flipped_labels", "uniform_targets", "gradient_reversal"] = "flipped_labels"

    @property
    def has_adversary(self) -> bool:
        """Whether the discriminator takes part in what the encoders learn."""
        return self.adversarial_weight > 0

    @property
    def learns_words(self) -> bool:
        """Whether any term depends on how words look at regions."""
        return self.word_weight > 0 or self.fused_weight > 0

    @property
    def learns_sentences(self) -> bool:
        """Whether any matching depends on sentences and whole images; a label classifier may teach them still."""
        return self.sentence_weight > 0 or self.fused_weight > 0


@dataclass(frozen=True)
class DiscriminatorConfig:
    """`ModalityDiscriminator` and how often it plays: k steps to one of the encoders (Goodfellow et al., NIPS 2014)."""

    inputs: Literal["global", "local", "both"] = "global"  # sentences and images | words and attended regions | both
    hidden_dim: Count = 256  # width of both hidden layers
    dropout: Share = 0.2
    steps: Count = 1  # k, discriminator steps for each step of the encoders
    learning_rate: Positive = 1e-3
    beta_1: Share = 0.5  # Adam's first moment


LEAST_BATCHES = 8  # of an epoch, where a small collection is to have enough steps
LEAST_BATCH = 16  # images; matching learns little from fewer


@dataclass(frozen=True)
class TrainingConfig:
    """Batches, optimizer, schedule and selection.

    A backbone that is fine-tuned has a rate of its own, far below that of the heads: Faghri et al., VSE++, BMVC 2018.
    """

    epochs: Count = 20
    batch_size: Pairs = 128  # B, images of a batch; each with one random caption
    learning_rate: Positive = 1e-3  # peak, Adam
    backbone_learning_rate: Positive = 2e-5  # peak, of blocks that are fine-tuned
    beta_1: Share = 0.9  # Adam's first moment
    weight_decay: NotNegative = 2.0  # decoupled (AdamW); word embeddings are left out
    schedule: Literal["constant", "cosine", "exponential"] = "cosine"
    warmup_steps: CountOrNone = 100  # steps of linear warm-up
    decay_rate: Decay = 0.98  # per epoch, for schedule "exponential"
    clip_norm: NotNegative = 5.0  # global norm of the gradients; 0 does not clip
    patience: CountOrNone = 0  # epochs without a better validation score before training stops; 0 never stops early
    mixed_precision: Literal["float32", "mixed_bfloat16"] = "float32"
    min_steps: CountOrNone = 0  # fewest steps in all; not 0: batches, epochs and decay suit the collection's size
    weight_averaging: Share = 0.0  # decay, a step, of a moving average of weights that is used in their place; 0: none
    from_preset: str = "none"  # heads begin as "none", or as those of a shipped model or a folder of save_to_preset

    def for_images(self, images: int) -> "TrainingConfig":
        """Return the batches, epochs and weight decay that suit a number of training images, at least 2.

        Batches are never larger than the collection. With `min_steps`, an epoch has at least `LEAST_BATCHES` of them,
        for which a collection whose batches would hold fewer than `LEAST_BATCH` images is passed through several times
        (see `passes`), there are as many epochs as the steps take, and the weight decay is that
        of `LEAST_BATCHES` batches an epoch: with more of them it is smaller in proportion, so that weights forget at
        the same rate by epoch (Wang and Aitchison, How to set AdamW's weight decay as you scale model and dataset size,
        2024).
        """
        size, decay = min(self.batch_size, images), self.weight_decay
        if self.min_steps:
            size = min(size, max(images // LEAST_BATCHES, min(LEAST_BATCH, images)))
            decay *= min(1.0, LEAST_BATCHES / (images // size))
        suited = dataclasses.replace(self, batch_size=size, weight_decay=decay)
        epochs = max(self.epochs, -(-self.min_steps // suited.steps_per_epoch(images)))
        return dataclasses.replace(suited, epochs=epochs)

    def steps_per_epoch(self, images: int) -> int:
        """Return the steps of an epoch: the whole batches that a number of training images makes, in all passes."""
        return images // self.batch_size * self.passes(images)

    def passes(self, images: int) -> int:
        """Return how often an epoch passes through the training images: once, or by `min_steps` more often.

        Each epoch is validated and saved, which for a few dozen images would take most of the time.
        """
        return -(-LEAST_BATCHES // (images // self.batch_size)) if self.min_steps else 1


@dataclass(frozen=True)
class EvaluationConfig:
    """What validation chooses by."""

    selection_score: Literal["sentence", "word", "fused"] = "fused"  # score that picks the epoch
    selection_tolerance: NotNegative = 1.0  # standard errors by which a later epoch may miss the best; 0: the best
    selection_images: CountOrNone = 1000  # validation pictures to choose by, drawn by a fixed seed; 0: all
    selection_texts: CountOrNone = 1  # first texts of an image that validation reads, to save time; 0 reads all
    fusion_metric: Literal["map", "recall", "balanced"] = "balanced"  # what the fusion weight maximises on validation

    def selected_images(self, images: int) -> int:
        """Return by how many of so many validation images epochs, settings and fusions are chosen."""
        return min(images, self.selection_images or images)


# What encoders' weights are weights of: as it is in the heads that training begins with (training.from_preset).
# image.global_layer may name more layers than they read.
HEADS_FIELDS = (
    "text.embedding_dim",
    "text.oov_buckets",
    "text.sentence_pooling",
    "text.word_features",
    "image.backbone",
    "image.image_size",
    "image.region_layer",
    "image.global_layer",
    "image.global_pooling",
    "model.dim",
)


@dataclass(frozen=True)
class Config:
    """Everything a run is made from, but its data and its seed."""

    text: TextConfig = field(default_factory=TextConfig)
    image: ImageConfig = field(default_factory=ImageConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        _check_ranges(self)

    @property
    def given_fields(self) -> tuple[str, ...]:
        """Return the fields that the heads which training begins with decide; none where it begins from scratch."""
        return HEADS_FIELDS if self.training.from_preset != "none" else ()

    @property
    def fits_canonical(self) -> bool:
        """Whether canonical directions are fitted when training has ended: over a frozen backbone, beside sentences."""
        return self.model.canonical_dim > 0 and not self.image.trains_backbone and self.loss.learns_sentences

    @property
    def fits_querybank(self) -> bool:
        """Whether cosines are held against a bank when training has ended: beside sentences."""
        return self.model.querybank_size > 0 and self.loss.learns_sentences

    def get(self, path: str) -> Any:
        """Return the value of the field `section.field`."""
        section, _, field = path.partition(".")
        return getattr(getattr(self, section), field)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return nested plain dictionaries, fit for JSON and for `from_dict`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "configuration") -> "Config":
        """Return the configuration that nested dictionaries describe; fields not named keep their defaults.

        Raises:
            ConfigError: an unknown section or field (the nearest name is offered), a wrong type, a value out of range.
        """
        sections = {}
        for name, section in values.items():
            section_class = _lookup(name, _section_classes(), where)
            _check_table(name, section, where)
            types_of = typing.get_type_hints(section_class)
            sections[name] = section_class(
                **{
                    key: _convert(value, _lookup(key, types_of, f"{where}: [{name}]"), f"{name}.{key}")
                    for key, value in section.items()
                }
            )
        return cls(**sections)

    def to_toml(self) -> str:
        """Return the configuration as TOML text."""
        lines = []
        for name, section in self.to_dict().items():
            lines += [f"[{name}]", *(f"{key} = {_toml_value(value)}" for key, value in section.items()), ""]
        return "\n".join(lines)


def preset_names() -> list[str]:
    """Return the names of the presets that the package ships, sorted."""
    folder = resources.files("dafsn_tf") / "presets"
    return sorted(entry.name[: -len(".toml")] for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_config(preset_or_path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Return the configuration of a preset or a TOML file, with overrides `section.field=value` applied in order.

    Fields that a file does not name are those of the preset `default`. A table `[search]` is left to `dafsn tune`. A
    file or an override that names `training.epochs` is kept to: it sets `training.min_steps` to 1 step, where there
    were more and it does not name that too.

    Raises:
        ConfigError: no such preset or file, one that cannot be read or is not TOML, or anything that
            `Config.from_dict` refuses.
    """
    name = str(preset_or_path)
    if name in preset_names():
        values = _preset_values(name)
    elif Path(name).is_file():
        values = _preset_values("default")
        own = _file_values(Path(name))
        values |= {section: {**values.get(section, {}), **fields} for section, fields in own.items()}
        _keep_to_epochs(values, [f"{section}.{key}" for section, fields in own.items() for key in fields])
    else:
        raise ConfigError(
            f"'{name}' is neither a preset nor a file. Presets: {', '.join(preset_names())}."
            f"{did_you_mean(name, preset_names())}"
        )
    _keep_to_epochs(values, [_apply_override(values, override) for override in overrides])
    return Config.from_dict(values, where=name)


def stored_config(path: Path) -> Config:
    """Return the configuration that a run or preset's folder holds; fields that an earlier version lacked are off.

    Raises:
        ConfigError: a file that cannot be read or is not TOML, or anything that `Config.from_dict` refuses.
    """
    return Config.from_dict(_file_values(path), where=str(path))


def _preset_values(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files("dafsn_tf") / "presets" / f"{name}.toml").read_text(encoding="utf-8"))


def _file_values(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error
    values.pop("search", None)  # what `dafsn tune` searches, for its own eyes
    for name, section in values.items():
        _check_table(name, section, str(path))
    return values


def _check_table(name: str, section: Any, where: str) -> None:
    if not isinstance(section, Mapping):
        raise ConfigError(f"{where}: [{name}] must be a table of fields, found {section!r}.")


def _keep_to_epochs(values: dict[str, Any], named: Collection[str]) -> None:
    """Let who asks for a number of epochs get that number."""
    if "training.epochs" in named and "training.min_steps" not in named:
        training = values["training"]
        training["min_steps"] = min(1, training.get("min_steps", 0))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a TOML file, which is UTF-8 text: {error}.") from error


def _section_classes() -> dict[str, Any]:
    return typing.get_type_hints(Config)


def _lookup(name: str, known: Mapping[str, Any], where: str) -> Any:
    if name not in known:
        raise ConfigError(f"{where} has no '{name}'.{did_you_mean(name, known)} Known: {', '.join(known)}.")
    return known[name]


def _apply_override(values: dict[str, Any], override: str) -> str:
    """Set one field, and return its name `section.field`."""
    path, equals, text = override.partition("=")
    section, dot, key = path.strip().partition(".")
    if not equals or not dot:
        raise ConfigError(f"'{override}' is not of the form section.field=value, as in training.epochs=10.")
    section_class = _lookup(section, _section_classes(), "--set")
    _lookup(key, typing.get_type_hints(section_class), f"--set: [{section}]")
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word is a string
    values.setdefault(section, {})[key] = value
    return f"{section}.{key}"


def _convert(value: Any, expected: Any, where: str) -> Any:
    """Return `value` as the field's type, refusing what TOML would silently confuse (true for 1, 1.5 for 1)."""
    if typing.get_origin(expected) is Literal:
        choices = typing.get_args(expected)
        if value not in choices:
            hint = did_you_mean(str(value), [str(choice) for choice in choices])
            raise ConfigError(f"{where} is {value!r}; it must be one of {', '.join(map(repr, choices))}.{hint}")
        return value
    if isinstance(expected, types.GenericAlias):
        (item,) = typing.get_args(expected)[:1]
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} is {value!r}; it must be a list.")
        return tuple(_convert(entry, item, where) for entry in value)
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not expected:
        raise ConfigError(f"{where} is {value!r} ({type(value).__name__}); it must be of type {expected.__name__}.")
    return value


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml_value(entry) for entry in value) + "]"
    return repr(value)


def _block(name: str) -> int:
    return int(name.removeprefix("mixed"))


def _check_ranges(config: Config) -> None:
    """Refuse values that could only fail later, deep inside a run."""
    for section, section_class in _section_classes().items():
        for name, kind in typing.get_type_hints(section_class, include_extras=True).items():
            value = getattr(getattr(config, section), name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{section}.{name} is {value}; it must be a finite number.")
            for must in getattr(kind, "__metadata__", ()):
                if not must.holds(value):
                    raise ConfigError(f"{section}.{name} is {value}; it must {must.be}.")
    smallest = {"inception_v3": 75, "small_cnn": 16}[config.image.backbone]
    if config.image.image_size < smallest:
        raise ConfigError(
            f"image.image_size is {config.image.image_size}; {config.image.backbone} needs at least {smallest}."
        )
    first, layers = config.image.fine_tune_from, f"{config.image.region_layer}+{config.image.global_layer}".split("+")
    if first != "none" and config.image.backbone != "inception_v3":
        raise ConfigError(
            f"image.fine_tune_from is {first!r}, but {config.image.backbone} is trained as a whole: set it to 'none'."
        )
    if first != "none" and _block(first) > max(map(_block, layers)):
        raise ConfigError(
            f"image.fine_tune_from is {first!r}, but no layer as high is read: image.region_layer is "
            f"{config.image.region_layer!r}, image.global_layer {config.image.global_layer!r}. Name a lower block."
        )
    if config.image.backbone == "small_cnn" and config.image.global_pooling != "mean":
        raise ConfigError(
            f"image.global_pooling is {config.image.global_pooling!r}; small_cnn makes its image feature by a branch "
            "of its own: leave it at 'mean', or use inception_v3."
        )
