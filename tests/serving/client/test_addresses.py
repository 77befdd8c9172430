"""Where a client calls: one address or several, of either kind, each by itself, and pings in between."""

import contextlib
import socket
import struct
import threading
import time

import pytest
from fake_server import Server

from dafsn_client import DeadlineExceeded, InputError, Unavailable, VersionStatus

PING, SETTINGS, ACK = 6, 4, 1


@pytest.fixture
def nobody():
    """A port where nobody answers."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


def ask(client, times=20):
    for _ in range(times):
        client.predict("f", {"x": [100.0]})
        time.sleep(0.01)


def test_several_servers_are_asked_in_turn_past_one_that_is_down(new, nobody):
    with Server() as one, Server() as two, new([one.target, f"localhost:{nobody}", two.target]) as client:
        ask(client)
        assert min(one.calls, two.calls) >= 5


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv4_and_ipv6_in_one_list(new):
    with Server() as four, Server(host="[::1]") as six, new([four.target, six.target]) as client:
        ask(client)
        assert min(four.calls, six.calls) >= 5


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv6_alone(new):
    with Server(host="[::1]") as one, Server(host="[::1]") as two, new([one.target, two.target]) as client:
        ask(client)
        assert min(one.calls, two.calls) >= 5


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([], "no address to call"),
        ("", "The address '' is none; give 'host:port'"),
        ("  ", "is none; give 'host:port'"),
        (["127.0.0.1:1", ""], "The address '' is none"),
        ("a\0b:1", r"The address 'a\\x00b:1' is none"),
        ("\ud800:1", "is none; give"),
        (b"127.0.0.1:1", "is none; give"),
        (None, "The target is None; give 'host:port', or a list of them"),
        (8500, "The target is 8500"),
        ([8500], "The address 8500 is none"),
        (["a b:x", "c:2"], "'a b:x' is not of the form host:port"),
        ("127.0.0.1:99999", r"'127\.0\.0\.1:99999' has no port below 65536"),
        ("127.0.0.1", r"'127\.0\.0\.1' is not of the form host:port"),
        ("http://127.0.0.1:8500", r"is not of the form host:port, .*no 'http://' stands before it"),
        (["127.0.0.1:65536", "c:2"], "has no port below 65536"),
        (["dns:///localhost:1", "c:2"], "'dns:///localhost:1' is not of the form host:port"),
        (["127.0.0.1:1", "no-such-host.invalid:1"], "'no-such-host.invalid:1' cannot be resolved"),
        (["a..b:1", "127.0.0.1:1"], r"'a\.\.b:1' cannot be resolved"),
    ],
)
def test_addresses_that_are_none(new, targets, message):
    with pytest.raises(InputError, match=message):
        new(targets)


def test_the_status_of_every_address(new, nobody):
    down = f"127.0.0.1:{nobody}"
    with (
        Server(version=lambda call: 1) as one,
        Server(version=lambda call: 2) as two,
        new([one.target, down, two.target]) as client,
    ):
        found = client.status_by_address()
    assert list(found) == [one.target, down, two.target]
    assert found[one.target] == [VersionStatus(1, "AVAILABLE", "")]
    assert found[two.target] == [VersionStatus(2, "AVAILABLE", "")]
    assert isinstance(found[down], Unavailable)
    assert f"GetModelStatus at {down}: " in str(found[down])


class SilentServer:
    """Takes a connection, answers nothing but pings, and counts those."""

    def __init__(self):
        self.pings = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):  # the client may have left
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._connection.close()
        self._listener.close()

    def _serve(self):
        self._connection, _ = self._listener.accept()
        with self._connection.makefile("rb") as stream:
            stream.read(len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
            self._connection.sendall(self._frame(SETTINGS, 0, b""))
            while header := stream.read(9):
                high, low, kind, flags, _ = struct.unpack(">BHBBL", header)
                content = stream.read(high << 16 | low)
                if kind in (PING, SETTINGS) and not flags & ACK:
                    self.pings += kind == PING
                    self._connection.sendall(self._frame(kind, ACK, content if kind == PING else b""))

    @staticmethod
    def _frame(kind, flags, content):
        return struct.pack(">BHBBL", 0, len(content), kind, flags, 0) + content


@pytest.mark.parametrize(("keepalive", "least", "most"), [(None, 0, 0), (0.2, 2, 12)])
def test_pings_keep_an_idle_connection_where_they_are_asked_for(new, keepalive, least, most):
    with SilentServer() as server:
        with new(server.target, keepalive=keepalive) as client:
            with pytest.raises(DeadlineExceeded):
                client.status(timeout=0.5)
            time.sleep(1.0)
        assert least <= server.pings <= most
