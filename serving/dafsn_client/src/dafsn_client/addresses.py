"""Addresses of servers, as gRPC takes them."""

import ipaddress
import socket
from collections.abc import Sequence

from dafsn_client.errors import InputError

_PORTS = 65536
_SCHEMES = ("dns:", "ipv4:", "ipv6:", "passthrough:", "unix:", "unix-abstract:", "vsock:", "xds:")  # gRPC's own


def checked(target: str | Sequence[str]) -> tuple[str, ...]:
    """Return the addresses that a client was given.

    Raises:
        InputError: none, or one that can be no address.
    """
    try:
        targets = (target,) if isinstance(target, str | bytes) else tuple(target)
    except TypeError as error:
        raise InputError(f"The target is {target!r}; give 'host:port', or a list of them.") from error
    if not targets:
        raise InputError("There is no address to call; give 'host:port'.")
    for address in targets:
        if not (isinstance(address, str) and address.strip() and address.isprintable()):
            raise InputError(f"The address {address!r} is none; give 'host:port', such as '127.0.0.1:8500'.")
        port = address.rpartition(":")[2]
        if port.isdecimal() and int(port) >= _PORTS:  # gRPC would call another port
            raise InputError(f"The address '{address}' has no port below {_PORTS}.")
        if not (address.startswith(_SCHEMES) or _is_host_and_port(address)):  # gRPC would call port 443
            raise InputError(
                f"The address '{address}' is not of the form host:port, such as '127.0.0.1:8500'; "
                "the port is the server's for gRPC, and no 'http://' stands before it."
            )
    return targets


def _is_host_and_port(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return bool(host) and "/" not in host and port.isdecimal()


def others(targets: Sequence[str]) -> int:
    """Return how many servers may answer beside one: those of a list; of a name, which may stand for several, one."""
    if len(targets) > 1:
        return len(targets) - 1
    try:
        ipaddress.ip_address(targets[0].rpartition(":")[0].strip("[]"))
    except ValueError:
        return 1
    return 0


def joined(targets: Sequence[str]) -> str:
    """Return gRPC's form of several addresses: numbers of one kind, no names, so names are looked up here and now.

    Where some are IPv6, those of IPv4 are written as IPv6 (::ffff:127.0.0.1), which reaches the same servers.

    Raises:
        InputError: one that is not host:port, or a name that nobody knows.
    """
    found = [pair for target in targets for pair in _looked_up(target)]
    if not any(":" in host for host, _ in found):
        return f"ipv4:{','.join(dict.fromkeys(f'{host}:{port}' for host, port in found))}"
    written = (f"[{host if ':' in host else f'::ffff:{host}'}]:{port}" for host, port in found)
    return f"ipv6:{','.join(dict.fromkeys(written))}"


def _looked_up(target: str) -> list[tuple[str, int]]:
    """Return every host and port that an address stands for."""
    if not _is_host_and_port(target):
        raise InputError(f"The address '{target}' is not of the form host:port; a list takes no other.")
    host, _, port = target.rpartition(":")
    try:
        infos = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(f"The address '{target}' cannot be resolved: {getattr(error, 'strerror', error)}.") from error
    return [(str(address[0]), int(address[1])) for *_, address in infos]
