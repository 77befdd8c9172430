"""The errors a user can cause. Each message says what was found, what was expected and what to do."""

import difflib
from collections.abc import Iterable


class DafsnError(Exception):
    """Base of every error that a user can mend; the command line prints its message and exits with 1."""


class ConfigError(DafsnError):
    """A configuration that cannot be used: an unknown key, a wrong type, a value out of range."""


class DataError(DafsnError):
    """A collection, a record file, a cache or a text/image input that cannot be used."""


class WeightsError(DafsnError):
    """Weights that are missing, cannot be read, or belong to another backbone."""


class RunError(DafsnError):
    """A run folder that is missing, unfinished, or does not fit what is asked of it."""


class ExportError(DafsnError):
    """A model version that cannot be written or verified."""


class ServingError(DafsnError):
    """A server that cannot be started or asked."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean '...'?" with a name that `name` begins, that begins it, or the nearest one, or ""."""
    known = list(known)
    matches = [other for other in known if name and (other.startswith(name) or name.startswith(other))]
    matches = matches or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" Did you mean '{matches[0]}'?" if matches else ""
