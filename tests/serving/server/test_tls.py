"""TLS by the file that the stock server takes; what clients see of it is in tests/conformance."""

import grpc
import pytest
from certificates import Authority, ssl_config
from wire import caller

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


def test_clients_need_no_certificate_unless_the_file_says_so(toy_versions, tmp_path, authority, pair):
    credentials = read_credentials(ssl_config(tmp_path, server_key=pair.key, server_cert=pair.certificate))
    with Server({"dafsn": toy_versions}, port=0, host="127.0.0.1", credentials=credentials) as server:
        trusting = grpc.ssl_channel_credentials(authority.certificate.encode())
        with grpc.secure_channel(f"127.0.0.1:{server.port}", trusting) as channel:
            assert caller(channel)(texts=["abc"]).model_spec.version.value == 2
        assert answers("127.0.0.1", server.port, tls=True)
        assert not answers("127.0.0.1", server.port, tls=False)


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
            read_credentials(ssl_config(tmp_path, **fields))
    with pytest.raises(ServingError, match=r"none cannot be read: No such file .* Expected a SSLConfig in text form"):
        read_credentials(tmp_path / "none")
