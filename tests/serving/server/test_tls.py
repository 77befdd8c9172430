"""TLS and mutual TLS, by the file that the stock server takes."""

import json

import grpc
import pytest
from certificates import Authority
from textfiles import written
from wire import caller, status_of

from dafsn_server.server import Server
from dafsn_server.stock import answers
from dafsn_server.tls import read_credentials
from dafsn_tf.errors import ServingError


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module")
def pair(authority):
    return authority.pair("server")


def config(folder, **fields):
    text = "\n".join(f"{name}: {value if value is True else json.dumps(value)}" for name, value in fields.items())
    return written(folder, text.replace("True", "true"), "ssl.config")


def pem(text):
    return text.encode()


def asking(target, **arguments):
    credentials = grpc.ssl_channel_credentials(**{name: pem(text) for name, text in arguments.items()})
    with grpc.secure_channel(target, credentials) as channel:
        return caller(channel)(texts=["abc"], timeout=5).model_spec.version.value


def test_tls(toy_versions, tmp_path, authority, pair):
    credentials = read_credentials(config(tmp_path, server_key=pair.key, server_cert=pair.certificate))
    with Server({"dafsn": toy_versions}, port=0, host="127.0.0.1", credentials=credentials) as server:
        target = f"127.0.0.1:{server.port}"
        assert asking(target, root_certificates=authority.certificate) == 2
        code, details = status_of(lambda: asking(target, root_certificates=Authority("another").certificate))
        assert code == "UNAVAILABLE"
        assert "CERTIFICATE_VERIFY_FAILED" in details
        with grpc.insecure_channel(target) as channel:
            code, details = status_of(lambda: caller(channel)(texts=["abc"], timeout=5))
        assert code == "UNAVAILABLE"
        assert answers("127.0.0.1", server.port, tls=True)
        assert not answers("127.0.0.1", server.port, tls=False)


def test_mutual_tls(toy_versions, tmp_path, authority, pair):
    path = config(
        tmp_path,
        server_key=pair.key,
        server_cert=pair.certificate,
        custom_ca=authority.certificate,
        client_verify=True,
    )
    client, stranger = authority.pair("client"), Authority("another").pair("stranger")
    with Server({"dafsn": toy_versions}, port=0, host="127.0.0.1", credentials=read_credentials(path)) as server:
        target, root = f"127.0.0.1:{server.port}", authority.certificate
        assert asking(target, root_certificates=root, private_key=client.key, certificate_chain=client.certificate) == 2
        assert status_of(lambda: asking(target, root_certificates=root))[0] == "UNAVAILABLE"
        code, _ = status_of(
            lambda: asking(
                target, root_certificates=root, private_key=stranger.key, certificate_chain=stranger.certificate
            )
        )
        assert code == "UNAVAILABLE"


def test_a_tls_client_at_a_plain_server(target, authority):
    code, details = status_of(lambda: asking(target, root_certificates=authority.certificate))
    assert code == "UNAVAILABLE"
    assert "WRONG_VERSION_NUMBER" in details


def test_files_that_cannot_be_used(tmp_path, authority, pair):
    other = authority.pair("other")
    for fields, message in [
        ({"server_cert": pair.certificate}, "server_key is missing. Expected the PEM text itself"),
        ({"server_key": pair.key}, "server_cert is missing"),
        ({"server_key": other.key, "server_cert": pair.certificate}, "no pair of .*KEY_VALUES_MISMATCH"),
        ({"server_key": "/key.pem", "server_cert": pair.certificate}, "not the path of a file"),
        (
            {"server_key": pair.key, "server_cert": pair.certificate, "client_verify": True},
            "client_verify without custom_ca",
        ),
        (
            {"server_key": pair.key, "server_cert": pair.certificate, "custom_ca": "/ca.pem"},
            "custom_ca is no certificate",
        ),
        ({"server_kay": ""}, 'line 1: .*no field named "server_kay"'),
    ]:
        with pytest.raises(ServingError, match=message):
            read_credentials(config(tmp_path, **fields))
    with pytest.raises(ServingError, match=r"none cannot be read: No such file .* Expected a SSLConfig in text form"):
        read_credentials(tmp_path / "none")
