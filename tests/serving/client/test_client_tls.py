"""TLS and mutual TLS against a gRPC server with certificates of a test's own authority."""

import sys
from concurrent import futures
from pathlib import Path

import grpc
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))
from certificates import Authority

from dafsn_client import TLS, InputError, Unavailable, protocol


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module", params=[False, True], ids=["tls", "mutual"])
def secured(request, authority):
    """(target, whether clients must show a certificate)."""
    pair = authority.pair("server")
    server = grpc.server(futures.ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(
        lambda data, context: protocol.GetModelStatusResponse().SerializeToString()
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("tensorflow.serving.ModelService", {"GetModelStatus": handler}),)
    )
    credentials = grpc.ssl_server_credentials(
        [(pair.key.encode(), pair.certificate.encode())], authority.certificate.encode(), request.param
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield f"127.0.0.1:{port}", request.param
    server.stop(None).wait()


@pytest.fixture
def own(authority, tmp_path):
    """Paths of the client's certificate and key, and of the authority's."""
    pair = authority.pair("client")
    for name, text in (("c.pem", pair.certificate), ("k.pem", pair.key), ("ca.pem", authority.certificate)):
        (tmp_path / name).write_text(text)
    return TLS(ca=tmp_path / "ca.pem", certificate=tmp_path / "c.pem", key=tmp_path / "k.pem")


def test_the_right_certificates_are_answered(new, secured, own):
    with new(secured[0], tls=own) as client:
        assert client.status() == []


def test_a_missing_certificate_is_refused_where_one_is_asked_for(new, secured, own):
    target, mutual = secured
    with new(target, tls=TLS(ca=own.ca), retries=0) as client:
        if mutual:
            with pytest.raises(Unavailable, match="agree on TLS"):
                client.status()
        else:
            assert client.status() == []


def test_another_authority_is_not_trusted(new, secured, own):
    stranger = Authority("stranger").certificate.encode()
    with new(secured[0], tls=TLS(stranger, own.certificate, own.key), retries=0) as client, pytest.raises(Unavailable):
        client.status()


def test_plain_text_is_not_answered(new, secured):
    with new(secured[0], retries=0) as client, pytest.raises(Unavailable, match="agree on TLS"):
        client.status()


def test_a_name_that_the_certificate_has_not(new, secured, own):
    other = TLS(own.ca, own.certificate, own.key, server_name="other.example")
    with new(secured[0], tls=other, retries=0) as client, pytest.raises(Unavailable):
        client.status()


def test_several_addresses_want_a_name(new, own):
    with pytest.raises(InputError, match=r"TLS\(server_name="):
        new(["127.0.0.1:1", "127.0.0.1:2"], tls=own)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"ca": "/no/such.pem"}, "/no/such.pem, cannot be read"),
        ({"ca": b"der"}, "must be PEM text"),
        ({"key": b"-----BEGIN"}, "TLS got no certificate"),
        ({"ca": "a\0b"}, r"The TLS ca is 'a\\x00b'; it must be a path, or PEM as bytes"),
        ({"ca": 7}, "The TLS ca is 7; it must be a path"),
        ({"server_name": ""}, "The server_name is ''"),
    ],
)
def test_files_that_are_none(new, files, message):
    with pytest.raises(InputError, match=message):
        new("127.0.0.1:1", tls=TLS(**files))
