"""What a client is made with and called with: what cannot travel is refused by one typed error, before it does."""

import asyncio
import os
import threading
import time

import numpy as np
import pytest
from fake_server import Server

from dafsn_client import AsyncClient, Cancelled, Client, InputError

HUGE = 99999999999999999999
NOBODY = "127.0.0.1:1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": None}, "The model is None; it must be a text"),
        ({"model": ""}, "The model is ''; it must be a text"),
        ({"model": "\ud800"}, "The model is .*lone surrogate"),
        ({"label": "\ud800"}, "The label is .*lone surrogate"),
        ({"version": HUGE}, "a server's versions go up to 9223372036854775807"),
        ({"version": -1}, "version is -1; it must be a whole number and at least 0"),
        ({"version": "7"}, "version is '7'; it must be a whole number"),
        ({"max_rows": 1.5}, "max_rows is 1.5; it must be a whole number"),
        ({"concurrency": None}, "concurrency is None; it must be a whole number"),
        ({"retries": -1}, "retries is -1; it must be a whole number and at least 0"),
        ({"timeout": float("inf")}, "The timeout is inf; it must be a number of seconds, positive and at most 1e"),
        ({"timeout": float("nan")}, "The timeout is nan; it must be"),
        ({"timeout": 1e10}, "at most 1e"),
        ({"timeout": "5"}, "The timeout is '5'; it must be a number"),
        ({"keepalive": 0}, "The keepalive is 0; it must be"),
        ({"tls": True}, r"tls is True; it must be TLS\(...\)"),
    ],
)
def test_what_no_client_can_be_made_with(new, options, message):
    with pytest.raises(InputError, match=message):
        new(NOBODY, **options)


def test_numbers_of_numpy_are_numbers(new):
    with Server() as server, new(server.target, version=np.int64(1), timeout=np.float32(5)) as client:
        client.predict("f", {"x": np.zeros(1, np.float32)})
        assert server.versions == [1]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (("X-Api-Key", "secret"), "The header name 'X-Api-Key' cannot travel: only a-z, 0-9"),
        (("x api", "secret"), "The header name 'x api' cannot travel"),
        (("", "secret"), "The header name '' cannot travel"),
        (
            ("x-api-key", "secret\n"),
            "The value of the header 'x-api-key' cannot travel: .* printable ASCII, in one line",
        ),
        (("x-api-key", "sécret"), "The value of the header 'x-api-key' cannot travel"),
        (("x-api-key", None), "The value of the header 'x-api-key' cannot travel"),
        (("x-key-bin", "secret"), "The header 'x-key-bin' needs bytes"),
        ("x-api-key", "must be a list of pairs"),
    ],
)
def test_headers_that_cannot_travel(new, header, message):
    with pytest.raises(InputError, match=message) as caught:
        new(NOBODY, metadata_headers=[header])
    assert "secret" not in str(caught.value)


def test_headers_travel_with_every_call(new):
    headers = [("x-api-key", "~secret 1"), ("x-key-bin", b"\0\xff")]
    with Server() as server, new(server.target, metadata_headers=headers) as client:
        client.predict("f", {"x": [1.0]})
        assert server.headers["x-api-key"] == "~secret 1"
        assert server.headers["x-key-bin"] == b"\0\xff"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client: client.encode_text(None), "A list of texts is due; got NoneType"),
        (lambda client: client.encode_text([None]), "Text 0 is of type NoneType; a text is a str"),
        (lambda client: client.search(["a", 7]), "Text 1 is of type int"),
        (lambda client: client.encode_image(None), "A list of images is due; got NoneType"),
        (lambda client: client.encode_image([None]), "Image 0 is of type NoneType"),
        (lambda client: client.search_by_image(["a\0b"]), "is none that a file can have"),
        (lambda client: client.similarity(["a"], None), "A list of images is due"),
        (lambda client: client.similarity(["a"], (image for image in [])), "1 texts and 0 images"),
        (lambda client: client.predict("\ud800", {"x": [1.0]}), "The signature is .*lone surrogate"),
        (lambda client: client.predict("f", {"\ud800": [1.0]}), "The name of an input is .*lone surrogate"),
        (lambda client: client.predict("f", {7: [1.0]}), "The name of an input is 7"),
        (lambda client: client.predict("f", [1.0]), "The inputs are a list; write {name: rows}"),
        (lambda client: client.predict("f", {"x": [1.0]}, outputs="y"), r"write \[name\]"),
        (lambda client: client.predict("f", {"x": [1.0]}, outputs=["\ud800"]), "The name of an output is"),
        (lambda client: client.predict("f", {"x": [1.0]}, outputs=["z"]), "has no output 'z'; it has y"),
        (lambda client: client.predict("f", {"x": [1.0]}, timeout=float("inf")), "The timeout is inf"),
        (lambda client: client.wait_ready(float("inf")), "The timeout is inf"),
        (lambda client: client.wait_ready(1, poll=-1), "The poll is -1"),
        (lambda client: client.reload_config({"\ud800": "/a"}), "The configuration cannot be sent"),
        (lambda client: client.reload_config({"a": "/a"}, {"a": {"stable": HUGE}}), "The configuration cannot be sent"),
        (lambda client: client.reload_config({"a": "/a"}, {"a": {"stable": "1"}}), "The configuration cannot be sent"),
        (lambda client: client.reload_config({"a": None}), "The configuration cannot be sent"),
        (lambda client: client.reload_config("/a"), "The configuration cannot be sent"),
        (lambda client: client.reload_config({"a": "/a"}, versions={"a": 1}), "The configuration cannot be sent"),
        (lambda client: client.reload_config({}), "names no model"),
        (lambda client: client.reload_config({"a": "models/a"}), "'a', models/a, is relative"),
        (lambda client: client.reload_config({"a": "/a"}, {"b": {"stable": 1}}), "given of 'b', but no base path.*'a'"),
        (lambda client: client.reload_config({"a": "/a"}, versions={"b": [1]}), "given of 'b', but no base path"),
        (
            lambda client: client.reload_config({"a": "/a"}, {"a": {"stable": 1}}, versions={"a": [2]}),
            "Labels of model 'a' name 1, which `versions` leaves out",
        ),
    ],
)
def test_what_no_call_can_be_made_with(new, call, message):
    with Server() as server, new(server.target) as client:
        with pytest.raises(InputError, match=message):
            call(client)
        assert server.calls == 0


def test_a_closed_client_says_so(new):
    with Server() as server, new(server.target) as asked, new(server.target) as unasked:
        asked.predict("f", {"x": [1.0]})
        for client in (asked, unasked):
            client.close()
            with pytest.raises(InputError, match="The client is closed; make another one"):
                client.predict("f", {"x": [1.0]})


def late(values, context):
    time.sleep(0.5)
    return values


def test_closing_ends_what_is_in_flight():
    with Server(late) as server, Client(server.target) as client:
        client.metadata()
        threading.Timer(0.2, client.close).start()
        with pytest.raises(Cancelled, match="Ask again"):
            client.predict("f", {"x": [1.0]})


def test_closing_ends_what_is_in_flight_in_a_loop():
    async def run(target):
        client = AsyncClient(target)
        await client.metadata()
        asked = asyncio.ensure_future(client.predict("f", {"x": [1.0]}))
        await asyncio.sleep(0.2)
        await client.close()
        with pytest.raises(Cancelled, match=r"the channel was closed \[CANCELLED\]. Ask again"):
            await asked

    with Server(late) as server:
        asyncio.run(run(server.target))


def test_a_call_that_its_caller_gives_up_is_cancelled_as_tasks_are():
    async def run(target):
        async with AsyncClient(target) as client:
            await client.metadata()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.predict("f", {"x": [1.0]}), 0.2)

    with Server(late) as server:
        asyncio.run(run(server.target))


class Watched(os.PathLike):
    """A path that notes which thread reads it."""

    def __init__(self, path):
        self.path, self.thread = path, None

    def __fspath__(self):
        self.thread = threading.current_thread()
        return str(self.path)


def test_files_are_read_beside_the_event_loop(target, tmp_path):
    (tmp_path / "a.png").write_bytes(b"a picture")
    paths = [Watched(tmp_path / "a.png") for _ in range(3)]

    async def run():
        async with AsyncClient(target) as client:
            await client.encode_image([paths[0]])
            await client.similarity(["a"], [paths[1]])
            await client.search_by_image([paths[2]])
            with pytest.raises(InputError, match="cannot be read"):
                await client.encode_image([tmp_path / "absent.png"])

    asyncio.run(run())
    assert all(path.thread not in (None, threading.main_thread()) for path in paths)
