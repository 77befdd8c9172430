"""TLS and mutual TLS: SERVING.md section 2, the rows between a client and a server that do not agree."""

import grpc
import pytest
from certificates import Authority
from tensorflow_serving.apis import predict_pb2
from wire import PREDICTION, status_of, stub

REACHED = ("INVALID_ARGUMENT", "Missing ModelSpec")  # the answer to an empty request


def asked(channel):
    with channel:
        predict = stub(channel, f"{PREDICTION}Predict", predict_pb2.PredictResponse)
        return status_of(lambda: predict(predict_pb2.PredictRequest(), timeout=10))


def over_tls(target, authority, pair=None, options=()):
    credentials = grpc.ssl_channel_credentials(
        authority.encode(), *((pair.key.encode(), pair.certificate.encode()) if pair else ())
    )
    return asked(grpc.secure_channel(target, credentials, options=options))


def test_clients_with_the_right_certificates_are_answered(secured):
    assert over_tls(secured.target, secured.authority, secured.client) == REACHED


def test_plain_text_to_a_server_of_tls(secured):
    code, details = asked(grpc.insecure_channel(secured.target))
    assert code == "UNAVAILABLE"
    assert "failed to connect to all addresses" in details


def test_tls_to_a_server_of_plain_text(target):
    code, details = over_tls(target, Authority().certificate)
    assert code == "UNAVAILABLE"
    assert "WRONG_VERSION_NUMBER" in details


def test_a_server_of_another_authority(secured):
    code, details = over_tls(secured.target, Authority("another").certificate, secured.client)
    assert code == "UNAVAILABLE"
    assert "CERTIFICATE_VERIFY_FAILED" in details


def test_a_server_of_another_name(secured):
    options = [("grpc.ssl_target_name_override", "elsewhere.invalid")]
    code, details = over_tls(secured.target, secured.authority, secured.client, options)
    assert code == "UNAVAILABLE"
    assert "Hostname Verification Check failed" in details


def test_no_certificate_where_one_is_asked_for(secured):
    if not secured.client:
        pytest.skip("the server asks its clients for no certificate")
    assert over_tls(secured.target, secured.authority)[0] == "UNAVAILABLE"


def test_a_certificate_of_another_authority_where_one_is_asked_for(secured):
    if not secured.client:
        pytest.skip("the server asks its clients for no certificate")
    stranger = Authority("another").pair("stranger")
    assert over_tls(secured.target, secured.authority, stranger)[0] == "UNAVAILABLE"
