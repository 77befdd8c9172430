"""The errors a user can cause. Each message says what was found, what was expected and what to do."""


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
