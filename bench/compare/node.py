"""Node and the packages of its peer: installed once, as the lock file says, in a cache out of the tree."""

import asyncio
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from bench.compare.process import output_of

SOURCE = Path(__file__).with_name("fastify_ioredis")
NODE_LEAST = 20
INSTALL_TIMEOUT_S = 120
_NPM_CI = ["npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"]
_PROGRAM = ("server.mjs", "claim.lua")


class UnavailableError(Exception):
    """This peer cannot run here; the message says what is missing."""


async def node_version() -> str:
    """Such as ``20.20.2``. Raises UnavailableError."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise UnavailableError(f"node or npm is missing: install Node.js {NODE_LEAST} or later")
    code, version = await output_of(["node", "--version"], SOURCE)
    if code or int(version.removeprefix("v").split(".")[0]) < NODE_LEAST:
        raise UnavailableError(f"node is {version or 'broken'}: install Node.js {NODE_LEAST} or later")
    return version.removeprefix("v")


async def installed() -> Path:
    """A directory with the peer's packages. Raises UnavailableError where they cannot be had."""
    version = await node_version()
    lock = (SOURCE / "package-lock.json").read_bytes()
    digest = hashlib.blake2b(lock + version.encode(), digest_size=8).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scanner" / f"fastify-{digest}"
    if not cache.exists():
        await _install(cache)
    return cache


async def _install(cache: Path) -> None:
    """Into a directory beside it that takes its name when it is whole."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as room:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCE / name, room)
        try:
            async with asyncio.timeout(INSTALL_TIMEOUT_S):
                code, output = await output_of(_NPM_CI, Path(room))
        except TimeoutError:
            raise UnavailableError(f"npm ci took more than {INSTALL_TIMEOUT_S} s") from None
        if code:
            raise UnavailableError(f"npm ci failed: {output[-300:]}")
        whole = Path(room) / "whole"
        whole.mkdir()
        for name in ("package.json", "node_modules"):
            (Path(room) / name).rename(whole / name)
        _move(whole, cache)


def _move(whole: Path, cache: Path) -> None:
    try:
        whole.rename(cache)
    except OSError:
        if not cache.exists():  # else another run was faster
            raise


def program_in(packages: Path, directory: Path) -> Path:
    """The peer's program in a directory of its own, with the packages within its reach."""
    for name in _PROGRAM:
        shutil.copy(SOURCE / name, directory)
    shutil.copy(packages / "package.json", directory)
    (directory / "node_modules").symlink_to(packages / "node_modules")
    return directory / "server.mjs"
