"""Inputs that nobody thought of: to the C that reads codes, under sanitizers, and to every endpoint.

Heads under sanitizers are in ``tests/service/test_fast_lane_heads.py``, and the fast lane against aiohttp, to
the byte, in ``tests/service/test_fast_lane_answers.py``.
"""

import asyncio
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from scanner.service.problems import Answer
from scanner.service.protocol import Route
from tests.brand import DRAWS, Brand, campaign_toml
from tests.faults.figures import say
from tests.faults.seeds import LONG, SEED, seeded, share
from tests.running import running
from tests.service.lanes import served
from tests.service.pools import friends, locked, wheel

ROOT = Path(__file__).parents[2]
NATIVE = ("native/codes.c", "native/lanes.c", "native/batches.c")
ROUNDS, EXAMPLES = share(4_000, 400_000), share(40, 2_000)
SEED_OF_CI = 20270301
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def fuzz_codes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that reads mutated codes, with the sanitizers in it."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler is here to build the fuzzer with")
    program = tmp_path_factory.mktemp("fuzz") / "fuzz_codes"
    flags = ["-O1", "-g", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fno-sanitize-recover=all"]
    flags += ["-fsanitize=address,undefined", f"-I{ROOT / 'native'}", "-o", str(program)]
    sources = [
        ROOT / "tests/fuzz/fuzz_codes.c",
        *(ROOT / f"native/{it}.c" for it in ("codes", "lanes", "batches")),
    ]
    command = [compiler, *flags, *map(str, sources)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if "cannot find" in built.stderr:
        pytest.skip(f"the compiler has no sanitizers: {built.stderr.splitlines()[0]}")
    assert built.returncode == 0, built.stderr
    return program


def fuzzed(program: Path, rounds: int, excess: int) -> subprocess.CompletedProcess[bytes]:
    command = [str(program), str(SEED), str(rounds), str(excess)]
    return subprocess.run(command, capture_output=True, timeout=3_600, check=False)


def test_codes_are_read_within_their_bounds(fuzz_codes: Path) -> None:
    with seeded():
        run = fuzzed(fuzz_codes, ROUNDS, 0)
        assert run.returncode == 0, run.stderr.decode("latin-1")[-4000:]
    kinds = [int(count) for count in run.stdout.split()]
    assert min(kinds) > sum(kinds) / 100
    say(f"fuzz, codes under sanitizers: {sum(kinds):,} texts, 0 errors (malformed, forged, genuine: {kinds})")


def test_control_a_byte_past_the_end_would_be_found(fuzz_codes: Path) -> None:
    run = fuzzed(fuzz_codes, 200, 1)
    assert run.returncode != 0
    assert b"heap-buffer-overflow" in run.stderr


class Described:
    """A service, and requests as its own description has them; some with a code, or a packet, that exists."""

    def __init__(self, port: int, tokens: list[str], codes: list[str], share: str) -> None:
        self.schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")
        self._tokens, self._codes, self._share = tokens, codes, share
        self.statuses: Counter[tuple[str, int]] = Counter()

    def play(self, examples: int) -> None:
        """Plays so many requests to each operation. Raises schemathesis's FailureGroup."""
        for found in self.schema.get_all_operations():
            self._play(found.ok(), examples)

    def _play(self, operation: Any, examples: int) -> None:
        headers = [{"Authorization": f"Bearer {token}"} for token in self._tokens]

        @hypothesis.seed(SEED if LONG else SEED_OF_CI)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(operation.as_strategy(), st.sampled_from(headers), st.booleans(), st.data())
        def one(case: Any, sender: dict[str, str], is_real: bool, data: st.DataObject) -> None:
            if is_real:
                self._furnish(case, data.draw(st.sampled_from(self._codes)))
            response = case.call(headers=sender)
            self.statuses[operation.path, response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

        one()

    def _furnish(self, case: Any, code: str) -> None:
        if isinstance(case.body, dict):
            if "code" in case.body:
                case.body["code"] = code
            for scan in case.body.get("scans") or ():
                if isinstance(scan, dict):
                    scan["code"] = code
        if "code" in case.path_parameters:
            case.path_parameters["code"] = code
        if "token" in case.path_parameters:
            case.path_parameters["token"] = self._share


async def described(brand: Brand, port: int) -> Described:
    await brand.apply(campaign_toml(pools=wheel(stock=10**6) + locked(stock=10**6) + friends(slots=100)))
    lot = await brand.lot(500)
    shared = await brand.scanner().scan("alice", brand.code(lot, 499))
    tokens = [brand.token("alice"), brand.token("bob"), brand.service_token(), "none"]
    codes = brand.codes(lot, range(499))
    return await asyncio.to_thread(Described, port, tokens, codes, str(shared["share"]))


async def test_every_endpoint_answers_as_it_is_described(tmp_path: Path) -> None:
    async with running(tmp_path / "data", log_level="error") as run:
        found = await described(run.brand, run.port)
        with seeded():
            await asyncio.to_thread(found.play, EXAMPLES)
        statuses = Counter(status for _, status in found.statuses.elements())
        assert {200, 400, 401, 403, 404} <= statuses.keys()
        assert (await run.brand.audit()).differences == []
        _, metrics = await run.operations("/metrics")
        assert 'scanner_requests_total{outcome="internal_error"} 0.0' in metrics
        say(
            f"fuzz, schemathesis: {statuses.total():,} requests to "
            f"{len({path for path, _ in found.statuses})} paths, "
            f"0 server errors, all as described; by status {dict(sorted(statuses.items()))}"
        )


async def fails_at_times(authorization: str, body: bytes, trace: str = "", _: str = "") -> Answer:
    if len(body) % 3 == 0:
        raise RuntimeError("a fault of ours")
    return Answer("malformed", 400, b"{}", "application/problem+json")


async def answers_what_nobody_said(authorization: str, body: bytes, trace: str = "", _: str = "") -> Answer:
    return Answer("malformed", 418, b"{}", "application/problem+json")


async def answers_another_form(authorization: str, body: bytes, trace: str = "", _: str = "") -> Answer:
    return Answer("malformed", 400, b'{"outcome":"accepted"}', "application/problem+json")


@pytest.mark.parametrize("broken", [fails_at_times, answers_what_nobody_said, answers_another_form])
async def test_control_a_route_that_does_otherwise_is_found(brand: Brand, broken: Any) -> None:
    async with served(brand) as side:
        found = await described(brand, side.port)
        await asyncio.to_thread(found.play, 3)
        side.server._routes[DRAWS]["POST"] = Route(broken)
        with pytest.raises((FailureGroup, AssertionError)):
            await asyncio.to_thread(found.play, 20)
