"""Ports that are free, known before anything is loaded."""

import socket

from dafsn_tf.errors import ServingError


def free_port(host: str, port: int) -> int:
    """Return a port that nothing listens at: this one, or any for 0.

    Raises:
        ServingError: it is taken, or the host is none of this machine's.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return probe.getsockname()[1]
    except OSError as error:
        raise ServingError(
            f"The server cannot listen at {host}:{port}: {error.strerror}. Stop what uses that port or choose another."
        ) from error
