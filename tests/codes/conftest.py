"""Every test of the key table runs on both twins."""

import importlib
import os

import pytest

from scanner.codes.format import SubKeys, derive

MASTER = bytes(range(32))


@pytest.fixture(scope="session", params=["native", "pure"])
def key_table(request):
    """The class KeyTable, of each twin in turn."""
    if request.param == "native" and os.environ.get("SCANNER_PURE") == "1":
        pytest.skip("SCANNER_PURE=1")
    return importlib.import_module(f"scanner.codes._{request.param}").KeyTable


@pytest.fixture(scope="session")
def twins():
    """(native, pure), for comparing them."""
    if os.environ.get("SCANNER_PURE") == "1":
        pytest.skip("SCANNER_PURE=1")
    return tuple(importlib.import_module(f"scanner.codes.{twin}").KeyTable for twin in ("_native", "_pure"))


@pytest.fixture(scope="session")
def sub_keys() -> SubKeys:
    """Those of the contract's master key, 00 01 … 1f."""
    return derive(MASTER)


@pytest.fixture(scope="session")
def table(key_table, sub_keys):
    """Live keys 5 and 63, a revoked key 6; every other kid is unknown."""
    return key_table({5: sub_keys, 6: derive(bytes(32)), 63: sub_keys}, revoked=[6])
