"""Fixtures for everybody: a brand on a private store. Every store here is a real one, and nobody else's."""

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.brand import Brand, brand_in
from tests.memory import MEMORY, is_roomy
from tests.postgres import postgres  # noqa: F401 (a fixture for everybody)

SWITCHES = (
    "SCANNER_PURE",
    "SCANNER_FAST_LANE",
    "SCANNER_FAULTS",
    "SCANNER_FAULTS_SEED",
    "SCANNER_TEST_STEPS",
)


def pytest_configure() -> None:
    """Stores write to memory where there is room, unless TMPDIR says where. They fsync as always, but nobody
    waits for a disk, which may be slow, and busy with others. The long runs of faults stay on the disk."""
    if "TMPDIR" not in os.environ and os.environ.get("SCANNER_FAULTS") != "long" and is_roomy():
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A developer's environment and .env file must not reach a test; the switches of the test targets do."""
    for name in [name for name in os.environ if name.startswith("SCANNER_") and name not in SWITCHES]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def brand(tmp_path: Path) -> AsyncIterator[Brand]:
    async with brand_in(tmp_path / "data") as brand:
        yield brand
