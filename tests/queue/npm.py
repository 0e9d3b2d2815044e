"""Packages of Node, installed once, as a lock file says, in a cache out of the tree."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

NODE_LEAST = 20
INSTALL_TIMEOUT_S = 120
NPM_CI = ["npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]


def missing(what: str) -> NoReturn:
    """CI has everything, so that nothing is left out there for ever; elsewhere the test is skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def node() -> str:
    """The program's path."""
    found = shutil.which("node")
    if not found or not shutil.which("npm"):
        missing(f"node or npm is missing: install Node.js {NODE_LEAST} or later")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=30).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < NODE_LEAST:
        missing(f"node is {version}: install Node.js {NODE_LEAST} or later")
    return found


def packages_of(source: Path) -> Path:
    """The ``node_modules`` of a directory that has a package-lock.json."""
    node()
    lock = (source / "package-lock.json").read_bytes()
    digest = hashlib.blake2b(lock, digest_size=8).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "scanner" / f"{source.name}-{digest}"
    if not place.exists():
        _install(source, place)
    return place / "node_modules"


def _install(source: Path, place: Path) -> None:
    """Into a directory beside it that takes its name when it is whole."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as room:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, room)
        try:
            done = subprocess.run(NPM_CI, cwd=room, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            missing(f"npm ci took more than {INSTALL_TIMEOUT_S} s")
        if done.returncode:
            missing(f"npm ci failed: {done.stderr[-300:]}")
        whole = Path(room) / "whole"
        whole.mkdir()
        (Path(room) / "node_modules").rename(whole / "node_modules")
        try:
            whole.rename(place)
        except OSError:
            if not place.exists():  # else another run was faster
                raise
