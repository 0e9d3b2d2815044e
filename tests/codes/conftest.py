"""Every test of the key table runs on both twins."""

import pytest

from scanner.codes.format import SubKeys, derive

MASTER = bytes(range(32))


def twin(name: str):
    """The class KeyTable of a twin. Where native is missing, one test in test_engine says so for all."""
    return pytest.importorskip(f"scanner.codes._{name}", exc_type=ImportError).KeyTable


@pytest.fixture(scope="session", params=["native", "pure"])
def key_table(request):
    """The class KeyTable, of each twin in turn."""
    return twin(request.param)


@pytest.fixture(scope="session")
def twins():
    """(native, pure), for comparing them."""
    return twin("native"), twin("pure")


@pytest.fixture(scope="session")
def sub_keys() -> SubKeys:
    """Those of the contract's master key, 00 01 … 1f."""
    return derive(MASTER)


@pytest.fixture(scope="session")
def table(key_table, sub_keys):
    """Live keys 5 and 63, a revoked key 6; every other kid is unknown."""
    return key_table({5: sub_keys, 6: derive(bytes(32)), 63: sub_keys}, revoked=[6])
