"""Both clients as one: every test of `client` and `new` runs with each."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dafsn_client import AsyncClient, Client
from dafsn_client.command.main import main


class Blocking:
    """An `AsyncClient` whose methods are awaited in a loop of its own."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not inspect.iscoroutinefunction(method):
            return method
        return lambda *arguments, **options: self._runner.run(method(*arguments, **options))

    def __enter__(self) -> "Blocking":
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


@pytest.fixture(params=[Client, Blocking], ids=["sync", "async"])
def new(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes a client."""
    return request.param


@pytest.fixture
def client(new: Callable[..., Any], target: str) -> Iterator[Any]:
    with new(target) as client:
        yield client


@pytest.fixture
def ask(target, capsys):
    """Run a command against the toy server; return exit code, output and messages."""

    def run(command, *arguments):
        code = main([command, "--target", target, *map(str, arguments)])
        return code, *capsys.readouterr()

    return run
