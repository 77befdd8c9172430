"""Where a process stands in a search that several share: its chief hands out trials, its workers run them."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from dafsn_tf.errors import ConfigError

ROLES = ("chief", "worker")
CHIEF_HOST, CHIEF_PORT, NAME = "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID"  # Keras Tuner's


@dataclass(frozen=True)
class Place:
    """A process's place in a shared search.

    Attributes:
        role: "chief" or "worker".
        host: of the chief.
        port: of the chief.
        name: of this process, unlike any other's.
    """

    role: str
    host: str
    port: int
    name: str

    @property
    def address(self) -> str:
        """Of the chief, HOST:PORT."""
        return f"{self.host}:{self.port}"


def place(chief: str | None, role: str | None, environment: Mapping[str, str]) -> Place | None:
    """Return a process's place by its options or, without them, by Keras Tuner's environment variables.

    Args:
        chief: address HOST:PORT; before the environment's `KERASTUNER_ORACLE_IP` and `KERASTUNER_ORACLE_PORT`.
        role: of `ROLES`; without it, what `KERASTUNER_TUNER_ID` says ("chief", or a worker's name), else a worker.
        environment: `os.environ`.

    Returns:
        None where the search is not shared.

    Raises:
        ConfigError: an address or a role that cannot be, or one without the other.
    """
    name = environment.get(NAME, "")
    if role is not None and role not in ROLES:
        raise ConfigError(f"There is no role '{role}'. Known: {', '.join(ROLES)}.")
    if chief is None:
        host, port = environment.get(CHIEF_HOST, ""), environment.get(CHIEF_PORT, "")
        if not (host or port):
            if role is not None:
                raise ConfigError(f"--role {role} needs the chief's address: give --chief HOST:PORT.")
            return None
        if not (host and port and (name or role)):
            raise ConfigError(
                f"Of {CHIEF_HOST}, {CHIEF_PORT} and {NAME} some are missing. Set all three, or give --chief HOST:PORT."
            )
        chief = f"{host}:{port}"
    host, _, port = chief.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError(f"The chief's address '{chief}' must be HOST:PORT, as in 10.0.0.5:7000.")
    is_chief = "chief" in name  # as Keras Tuner reads it
    role = role or ("chief" if is_chief else "worker")
    own = name if name and not is_chief else "worker"
    return Place(role, host, int(port), "chief" if role == "chief" else f"{own}-{secrets.token_hex(3)}")
