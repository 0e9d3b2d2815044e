"""What it costs to know who scans: a token seen a moment ago, and one that comes for the first time."""

import time

import pytest

from bench.brand import MEMBERS, TOKEN_KEYS
from bench.cost import Cost
from bench.yardsticks import PYTHON, SHA256
from scanner.identity import Member, TokenKeys

HOUR_S = 3600


@pytest.fixture(scope="module")
def now_s() -> int:
    return int(time.time())


@pytest.fixture(scope="module")
def headers(now_s: int) -> list[str]:
    return [
        f"Bearer {TOKEN_KEYS.issue(Member(f'member-{n}', role='painter'), now_s=now_s, ttl_s=HOUR_S)}"
        for n in range(MEMBERS)
    ]


def bench_remembered(cost: Cost, headers: list[str], now_s: int) -> None:
    keys = TokenKeys(TOKEN_KEYS.keys)

    def work() -> None:
        for header in headers:
            keys.bearer(header, now_s=now_s)

    cost(work, of=MEMBERS, against=PYTHON)


def bench_first_time(cost: Cost, headers: list[str], now_s: int) -> None:
    def work() -> None:
        keys = TokenKeys(TOKEN_KEYS.keys)  # that remembers nobody
        for header in headers:
            keys.bearer(header, now_s=now_s)

    cost(work, of=MEMBERS, against=SHA256)
