"""The search space: fields of the configuration, by their own names, and the values they may take.

`SPACE` is what `dafsn tune` searches by default. A configuration file narrows or widens it in its table `[search]`:

```toml
[search]
"model.dim" = [256, 512]                                     # these values
"training.learning_rate" = { low = 1e-4, high = 3e-3, log = true }
"text.dropout" = { low = 0.1, high = 0.6, step = 0.1 }
"loss.label_weight" = "fixed"                                # stays as the configuration has it
only = false                                                 # true: nothing but what stands here is searched
```

Backbone layers and the region grid may be searched too; each of their values takes a feature cache of its own, computed
when the first trial wants it, so they are not in `SPACE`.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dafsn_tf.config import Config
from dafsn_tf.errors import ConfigError

Value = bool | int | float | str


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of some values, all of one type."""

    values: tuple[Value, ...]


@dataclasses.dataclass(frozen=True)
class Range:
    """A number between two, both included.

    Attributes:
        low: least value.
        high: greatest value.
        log: whether orders of magnitude are equally likely, not values.
        step: distance between values tried; None tries any.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None


@dataclasses.dataclass(frozen=True)
class Condition:
    """A field is searched only where another one has one of some values; else it has no effect."""

    field: str
    values: tuple[Value, ...]


@dataclasses.dataclass(frozen=True)
class Switch:
    """What decides whether a field has an effect.

    Attributes:
        field: another field.
        value: the field has an effect where that one has this value; None: where that one is not zero.
    """

    field: str
    value: Value | None = None

    def is_on(self, value: Value) -> bool:
        """Return whether the field has an effect where the other one has a value."""
        return bool(value) if self.value is None else value == self.value


Space = dict[str, Choice | Range]

SPACE: Space = {
    "model.dim": Choice((128, 256, 512)),
    "text.sentence_pooling": Choice(("max", "mean", "last")),
    "text.dropout": Range(0.1, 0.6, step=0.1),
    "text.word_dropout": Range(0.0, 0.3, step=0.05),
    "image.dropout": Range(0.0, 0.7, step=0.1),
    "image.region_dropout": Choice((0.0, 0.1, 0.2)),
    "image.augmentation": Choice(("none", "flip")),
    "loss.learned_gamma3": Choice((False, True)),
    "loss.gamma3": Range(4.0, 20.0, log=True),
    "loss.word_weight": Choice((0.0, 0.1, 0.3, 1.0)),
    "loss.fused_weight": Choice((0.0, 0.3, 1.0)),
    "text.word_features": Choice(("lstm", "embedding")),
    "model.similarity": Choice(("product", "cosine")),
    "model.word_pooling": Choice(("log_mean_exp", "log_sum_exp", "mean")),
    "model.gamma1": Range(2.0, 20.0, log=True),
    "model.gamma2": Range(2.0, 20.0, log=True),
    "loss.label_weight": Choice((0.3, 1.0, 2.0, 5.0)),
    "loss.adversarial_weight": Choice((0.0, 0.02, 0.05, 0.1, 0.3)),
    "loss.adversarial_kind": Choice(("flipped_labels", "uniform_targets", "gradient_reversal")),
    "discriminator.steps": Choice((1, 3, 5)),
    "discriminator.learning_rate": Range(5e-5, 2e-3, log=True),
    "training.batch_size": Choice((32, 64, 128)),
    "training.learning_rate": Range(1e-4, 3e-3, log=True),
    "training.weight_decay": Range(0.1, 20.0, log=True),
    "training.schedule": Choice(("cosine", "constant", "exponential")),
    "training.decay_rate": Range(0.85, 0.99),
    "training.weight_averaging": Choice((0.0, 0.99)),
}

_AFTER_TRAINING = ("text.added_words", "model.canonical_dim", "model.querybank_size")
_LEARNS_WORDS = (Switch("loss.word_weight"), Switch("loss.fused_weight"))
_HAS_ADVERSARY = (Switch("loss.adversarial_weight"),)
_HAS_HINGE = (Switch("loss.matching", "hardest_negative"),)

_SWITCHES: dict[str, tuple[Switch, ...]] = {  # a field has an effect where any of its switches is on
    "text.word_features": _LEARNS_WORDS,
    "model.similarity": _LEARNS_WORDS,
    "model.word_pooling": _LEARNS_WORDS,
    "model.gamma1": _LEARNS_WORDS,
    "model.gamma2": _LEARNS_WORDS,
    "loss.word_positives": (Switch("loss.word_weight"),),
    "loss.adversarial_kind": _HAS_ADVERSARY,
    "discriminator.steps": _HAS_ADVERSARY,
    "discriminator.learning_rate": _HAS_ADVERSARY,
    "discriminator.inputs": _HAS_ADVERSARY,
    "training.decay_rate": (Switch("training.schedule", "exponential"),),
    "loss.margin": _HAS_HINGE,
    "loss.hinge_warmup_steps": _HAS_HINGE,
}


def ordered(space: Space) -> list[str]:
    """Return the fields of a space, each after those that it depends on."""
    return sorted(space, key=lambda name: name in _SWITCHES)


def condition(name: str, space: Space, config: Config) -> Condition | None:
    """Return the condition under which a field is searched; None where it always is.

    Conditions are of one other field: what two searched fields may each switch on is always searched.
    """
    open_switches = [switch for switch in _SWITCHES.get(name, ()) if switch.field in space]
    if len(open_switches) != 1 or any(switch.is_on(config.get(switch.field)) for switch in _closed(name, space)):
        return None
    (switch,) = open_switches
    values = space[switch.field]
    return Condition(switch.field, tuple(filter(switch.is_on, values.values))) if isinstance(values, Choice) else None


def read_space(preset_or_path: str, config: Config) -> Space:
    """Return the default space as the table `[search]` of a configuration file narrows or widens it.

    A field that has an effect in no trial, because what it depends on is off in all, is left out.

    Raises:
        ConfigError: a field that does not exist, or values that it cannot have.
    """
    table: Mapping[str, Any] = {}
    if Path(preset_or_path).is_file():
        table = tomllib.loads(Path(preset_or_path).read_text(encoding="utf-8")).get("search", {})
    if not isinstance(table, dict):
        raise ConfigError(f"[search] must be a table of fields, found {table!r}.")
    table = dict(table)
    only = table.pop("only", False)
    if not isinstance(only, bool):
        raise ConfigError(f"[search] only is {only!r}; it must be true or false.")
    space: Space = {} if only else {name: tried for name, tried in SPACE.items() if name not in config.given_fields}
    for name, entry in table.items():
        if entry == "fixed":
            _check(config, name, [])
            space.pop(name, None)
        elif name in _AFTER_TRAINING:
            raise ConfigError(
                f"[search] names {name}, which acts when training has ended, while trials are compared in training: "
                "leave it out, and set it in the configuration."
            )
        elif name in config.given_fields:
            raise ConfigError(
                f"[search] names {name}, which the heads of {config.training.from_preset} decide that training begins "
                "with: leave it out, or set training.from_preset=none."
            )
        else:
            space[name] = _read_entry(name, entry)
            _check(config, name, _tried(space[name]))
    space = {name: values for name, values in space.items() if _has_effect(name, space, config)}
    if not space:
        raise ConfigError("[search] leaves nothing to search: name fields and their values there.")
    return space


def configured(config: Config, values: Mapping[str, Any]) -> Config:
    """Return a configuration with the values of some fields, given by their names `section.field`."""
    sections = config.to_dict()
    for name, value in values.items():
        section, key = name.split(".")
        sections[section][key] = value
    return Config.from_dict(sections, where="search space")


def own_values(config: Config, space: Space) -> dict[str, Value] | None:
    """Return a configuration's own values of the fields that have an effect; None if the space lacks one of them."""
    found: dict[str, Value] = {}
    for name in ordered(space):
        when = condition(name, space, config)
        if when is not None and found[when.field] not in when.values:
            continue
        found[name] = config.get(name)
        if not _holds(space[name], found[name]):
            return None
    return found


def to_json(space: Space) -> dict[str, Any]:
    """Return a space as plain values, to tell two apart."""
    return {name: dataclasses.asdict(values) for name, values in sorted(space.items())}


def _read_entry(name: str, entry: Any) -> Choice | Range:
    if isinstance(entry, list) and entry:
        if len({type(value) for value in entry}) > 1:
            raise ConfigError(f"[search] {name} mixes types: {entry!r}. Write all values alike (1.0, not 1).")
        return Choice(tuple(entry))
    if isinstance(entry, dict) and {"low", "high"} <= set(entry) <= {"low", "high", "log", "step"}:
        numbers = [value for key, value in entry.items() if key != "log"]
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in numbers):
            raise ConfigError(f"[search] {name} is {entry!r}: low, high and step must be numbers.")
        found = Range(**entry)
        if not (found.low < found.high and (found.step is None or found.step > 0) and (not found.log or found.low > 0)):
            raise ConfigError(
                f"[search] {name} is {entry!r}: low must be below high, step and a log range's low above 0."
            )
        return found
    raise ConfigError(
        f"[search] {name} is {entry!r}. Write a list of values, {{ low = 0.1, high = 1.0, log = true }}, "
        '{ low = 0.1, high = 0.5, step = 0.1 }, or "fixed".'
    )


def _tried(values: Choice | Range) -> list[Any]:
    return list(values.values) if isinstance(values, Choice) else [values.low, values.high]


def _holds(values: Choice | Range, value: Value) -> bool:
    if isinstance(values, Choice):
        return value in values.values
    if isinstance(value, str) or not values.low <= value <= values.high:
        return False
    steps = (value - values.low) / values.step if values.step else 0.0
    return abs(steps - round(steps)) < 1e-6


def _check(config: Config, name: str, values: list[Any]) -> None:
    """Refuse a field that does not exist, and values that it cannot have."""
    section, dot, key = name.partition(".")
    if not dot:
        raise ConfigError(f"[search] names '{name}'; write section.field in quotes, as in \"model.dim\" = [128, 256].")
    current = config.to_dict().get(section, {}).get(key)
    for value in values or [current]:
        Config.from_dict({section: {key: value}}, where="[search]")


def _closed(name: str, space: Space) -> list[Switch]:
    """Return the switches of a field that are not searched: the configuration decides them."""
    return [switch for switch in _SWITCHES.get(name, ()) if switch.field not in space]


def _has_effect(name: str, space: Space, config: Config) -> bool:
    """Return whether a field has an effect in some trial."""
    switches = _SWITCHES.get(name, ())
    return not switches or any(
        any(map(switch.is_on, _tried(space[switch.field]) if switch.field in space else [config.get(switch.field)]))
        for switch in switches
    )
