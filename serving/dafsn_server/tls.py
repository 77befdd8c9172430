"""TLS and mutual TLS by the `SSLConfig` that TensorFlow Serving takes."""

import ssl
import tempfile
from pathlib import Path

import grpc

from dafsn_server.textproto import message_class, read
from dafsn_tf.errors import ServingError


def read_credentials(path: Path) -> grpc.ServerCredentials:
    """Return the credentials that a text file holds, PEM text inline.

    Raises:
        ServingError: no such file, no SSLConfig, no pair of key and certificate, or clients to verify by no authority.
    """
    config = read(path, message_class("SSLConfig"))
    for field in ("server_key", "server_cert"):
        if not getattr(config, field):
            raise ServingError(f"{path}: {field} is missing. Expected the PEM text itself, not the path of a file.")
    _check_pair(path, config.server_key, config.server_cert)
    if config.client_verify and not config.custom_ca:
        raise ServingError(
            f"{path}: client_verify without custom_ca. Add the PEM text of the authority that signs your clients."
        )
    if config.custom_ca:
        _check_authority(path, config.custom_ca)
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def _check_pair(path: Path, key: str, certificate: str) -> None:
    """Refuse what gRPC would refuse without a reason, or only when the first client calls."""
    with tempfile.TemporaryDirectory() as folder:  # ssl reads keys from files alone; nobody else may enter this folder
        key_file, certificate_file = Path(folder, "key"), Path(folder, "certificate")
        key_file.write_text(key)
        certificate_file.write_text(certificate)
        try:
            # With a password, so that an encrypted key is an error and not a question at the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_file, key_file, password="")
        except (ssl.SSLError, ValueError) as error:
            raise ServingError(
                f"{path}: server_key and server_cert are no pair of an unencrypted key and its certificate "
                f"({getattr(error, 'reason', None) or error}). Expected the PEM text itself, not the path of a file."
            ) from error


def _check_authority(path: Path, authority: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=authority)
    except (ssl.SSLError, ValueError) as error:
        raise ServingError(
            f"{path}: custom_ca is no certificate. Expected the PEM text itself, not the path of a file."
        ) from error
