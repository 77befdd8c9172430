"""Ports that are free, known before anything is loaded."""

import socket

from dafsn_tf.errors import ServingError


def free_port(host: str, port: int) -> int:
    """Return a port that nothing listens at: this one, or any for 0.

    Raises:
        ServingError: it is taken, or the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServingError(
                f"The server cannot listen at {host}:{port}: {error.strerror}. "
                "Stop what uses that port or choose another."
            ) from error
        return probe.getsockname()[1]
