"""Commands as they are typed: run by ``scanner.cli.main`` in this process, on one store a module."""

import asyncio
import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from scanner.cli import main
from scanner.ledger.connection import opened
from scanner.ledger.embedded import EmbeddedStore
from tests.brand import PRODUCT, campaign_toml, settings_for


class Done(NamedTuple):
    """What a command did. ``err`` and ``out`` are as a terminal would show them."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return json.loads(self.out)

    def refused(self, *words: str) -> bool:
        """Exit code 1, nothing printed, and one line (a list may follow) that has the words."""
        assert (self.code, self.out) == (1, ""), self
        assert self.err.startswith("scanner: ")
        assert self.err.endswith("\n")
        assert "Traceback" not in self.err
        for word in words:
            assert word in self.err
        return True

    def misused(self, *words: str) -> bool:
        """Exit code 2, nothing printed, and how to use it."""
        assert (self.code, self.out) == (2, ""), self
        assert "Usage: " in self.err
        for word in words:
            assert word in self.err
        return True


@pytest.fixture
def typed(capfd, monkeypatch) -> Callable[..., Done]:
    """Runs ``scanner`` with these arguments."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["scanner", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        return Done(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    """A data directory whose store runs until the module is done, so that no command has to start it."""
    directory = tmp_path_factory.mktemp("data")
    store = EmbeddedStore(directory)
    asyncio.run(store.join())
    yield directory
    asyncio.run(store.leave())


@pytest.fixture
def scanner(typed, data_dir) -> Callable[..., Done]:
    """Runs ``scanner`` on the module's data directory, which gets its keys before."""
    if not (data_dir / "keys.json").exists():
        assert typed("--data-dir", data_dir, "keys", "init").code == 0
    return lambda *arguments: typed("--data-dir", data_dir, *arguments)


@pytest.fixture
def on_terminal(data_dir) -> Callable[..., str]:
    """What a terminal of so many columns is sent by ``scanner`` on the module's data directory."""

    def run(columns, *arguments):
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "scanner", "--data-dir", str(data_dir), *arguments]
        env = {**os.environ, "TERM": "dumb", "COLUMNS": str(columns)}
        with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env):
            os.close(theirs)
            shown = b""
            with contextlib.suppress(OSError), os.fdopen(ours, "rb", buffering=0) as terminal:
                while data := terminal.read(4096):
                    shown += data  # until an error says that nobody writes to it any more
        return shown.decode().replace("\r\n", "\n")

    return run


@pytest.fixture
def in_store(data_dir) -> Callable[..., object]:
    """Runs a coroutine function with the module's store."""

    def run(work):
        async def session():
            async with opened(settings_for(data_dir)) as store:
                return await work(store)

        return asyncio.run(session())

    return run


@pytest.fixture
def campaign(scanner, tmp_path) -> Callable[..., str]:
    """Applies a small campaign and returns its id. The same one again changes nothing."""

    def apply(id="spring"):
        path = tmp_path / f"{id}.toml"
        path.write_text(campaign_toml(id), "utf-8")
        assert scanner("campaign", "apply", path).code == 0
        return id

    return apply


@pytest.fixture
def mint(scanner, campaign, tmp_path) -> Callable[..., tuple[int, Path]]:
    """Mints a lot: its number and its file."""
    made = []

    def run(*options, count=5):
        made.append(tmp_path / f"codes-{len(made)}")
        arguments = ["--campaign", campaign(), "--product", PRODUCT, "--count", count, "--out", made[-1]]
        done = scanner("lot", "mint", *arguments, *options)
        assert done.code == 0, done
        return int(done.out.removeprefix("lot ").partition(":")[0]), made[-1]

    return run
