"""TLS towards a server, and the client's own certificate where the server asks for one."""

import os
from dataclasses import dataclass
from pathlib import Path

import grpc

from dafsn_client import settings
from dafsn_client.errors import InputError

Pem = bytes | str | os.PathLike[str]


@dataclass(frozen=True)
class TLS:
    """PEM files, or their contents as bytes.

    Attributes:
        ca: certificates that the server's must descend from; None takes those that gRPC brings.
        certificate: the client's own, for servers that ask for one (mutual TLS), with its `key`.
        key: of `certificate`.
        server_name: name in the server's certificate, where that is not the address that is called.

    Raises:
        InputError: a certificate without its key, a key without certificate, or a name that is none.
    """

    ca: Pem | None = None
    certificate: Pem | None = None
    key: Pem | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            missing = "key" if self.key is None else "certificate"
            raise InputError(f"TLS got no {missing}; a client's certificate and its key belong together.")
        if self.server_name is not None:
            settings.text("server_name", self.server_name)

    def credentials(self) -> grpc.ChannelCredentials:
        """Return gRPC's form of them.

        Raises:
            InputError: a file that cannot be read or holds no PEM.
        """
        return grpc.ssl_channel_credentials(
            _pem("ca", self.ca), _pem("key", self.key), _pem("certificate", self.certificate)
        )


def _pem(name: str, pem: Pem | None) -> bytes | None:
    if pem is None:
        return None
    try:
        content = pem if isinstance(pem, bytes) else Path(pem).read_bytes()
    except OSError as error:
        raise InputError(f"The TLS file for {name}, {pem}, cannot be read: {error.strerror}.") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"The TLS {name} is {pem!r}; it must be a path, or PEM as bytes. ({error})") from error
    if b"-----BEGIN" not in content:
        where = "the given bytes" if isinstance(pem, bytes) else str(pem)
        raise InputError(f"The TLS {name} must be PEM text; {where} hold no '-----BEGIN'.")
    return content
