"""What the lane reads of a head, held against aiohttp's parser; and the C of it under sanitizers."""

import asyncio
import random
import shutil
import subprocess
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.helpers import parse_content_type
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.http_writer import HttpVersion11
from aiohttp.streams import StreamReader
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.codes import Keyring
from scanner.codes.keyring import Key
from scanner.identity import TokenKeys
from scanner.service.connection import LINE_MAX_BYTES
from scanner.service.fast_lane._native import read_head
from scanner.service.protocol import FIELD_MAX_BYTES, HEADERS_MAX
from tests.brand import Brand
from tests.fuzz.forms import HOSTS, LINES, STARTS, TYPES, corpus
from tests.fuzz.furnished import LOT_KINDS, Hand
from tests.fuzz.mutations import body_mutated, mutated, spliced
from tests.fuzz.seeds import HOST, JSON, LINE, TRACE, request
from tests.service.lanes import SEED, seeded

ROOT = Path(__file__).parents[2]
MUTATED, FUZZED = 20_000, 200_000
BODY_READ_MAX = 50_000
"""Nobody takes the body away here, and of more the parser would leave some for later."""
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


def requests() -> list[bytes]:
    """Every seed of the corpus, without a store behind it."""
    keyring = Keyring((Key(5, "live", datetime(2027, 1, 1, tzinfo=UTC), bytes(range(32))),))
    brand = Brand(None, None, keyring, TokenKeys({"t": bytes(32)}), lambda: 2e9)  # type: ignore[arg-type]
    hand = Hand(brand, keyring.table(), dict.fromkeys(LOT_KINDS, 1), 0)
    return [b"".join(step for step in seed(hand) if step) for _, seed in corpus(hand)]


REQUESTS = requests()


class Reader:
    """aiohttp's parser as the server has it."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._parser = HttpRequestParser(
            BaseProtocol(loop),
            loop,
            2**16,
            max_line_size=LINE_MAX_BYTES,
            max_field_size=FIELD_MAX_BYTES,
            max_headers=HEADERS_MAX,
            auto_decompress=False,
            max_msg_queue_size=32,
        )

    def read(self, data: bytes) -> list[tuple[RawRequestMessage, StreamReader]]:
        messages, is_upgraded, tail = self._parser.feed_data(data)
        assert not is_upgraded
        assert tail == b""
        return list(messages)


def agreed(data: bytes) -> str:
    """What the lane calls it; fails where aiohttp's parser reads anything else."""
    found = read_head(data)
    if found is None:
        return "odd"
    is_scan, authorization, traceparent, at, length, forwarded = found
    reader = Reader()
    [(message, payload)] = reader.read(data)
    headers = message.headers
    assert message.version == HttpVersion11
    assert not any((message.should_close, message.upgrade, message.chunked, message.compression))
    assert headers.get("Authorization", "").encode() == authorization
    assert headers.get("traceparent", "").encode() == traceparent
    assert headers.get("X-Forwarded-For", "").encode() == forwarded
    assert int(headers.get("Content-Length", "0")) == length
    assert len(headers) == len(set(headers)) == data[:at].count(b"\r\n") - 2
    path = message.url.raw_path_qs
    assert data.startswith(f"{message.method} {message.path} HTTP/1.1\r\n".encode())
    if is_scan:
        assert (message.method, message.path, path) == ("POST", "/v1/scans", "/v1/scans")
        assert parse_content_type(headers.get("Content-Type", "application/json"))[0] == "application/json"
        assert not headers.keys() & {"Content-Encoding", "Expect", "Transfer-Encoding"}
    missing = at + length - len(data)
    assert missing >= 0
    assert payload.is_eof() is (missing == 0)
    if length > BODY_READ_MAX:
        return "partial"
    # With the bytes that are owed, and not one more, the request is over.
    if missing > 1:
        assert reader.read(b"x" * (missing - 1)) == []
        assert not payload.is_eof()
    if missing:
        assert reader.read(b"x") == []
        assert payload.is_eof()
    if length:
        assert payload.read_nowait() == data[at:] + b"x" * missing
    [(following, _)] = reader.read(NEXT)
    assert following.path == "/next"
    return "partial" if missing else "scan" if is_scan else "other"


async def test_the_corpus() -> None:
    seen = Counter(agreed(data) for data in REQUESTS)
    assert min(seen[kind] for kind in ("odd", "scan", "other", "partial")) > 0, seen
    assert seen["scan"] > 100


async def test_what_becomes_of_requests() -> None:
    seen: Counter[str] = Counter()
    with seeded() as rng:
        for _ in range(MUTATED):
            data = _changed(rng)
            try:
                seen[agreed(data)] += 1
            except Exception:
                print(f"\n{data!r}")  # noqa: T201
                raise
    assert min(seen[kind] for kind in ("odd", "scan", "other", "partial")) > MUTATED / 100, seen


def _changed(rng: random.Random) -> bytes:
    data = rng.choice(REQUESTS) or b"x"
    kind = rng.random()
    if kind < 0.3:
        return body_mutated(rng, data)
    if kind < 0.4:
        return spliced(rng, data, rng.choice(REQUESTS)) or b"x"
    return mutated(rng, data)


names = st.sampled_from(("host", "Connection", "Content-Length", "Authorization", "X")) | st.text(
    st.characters(codec="latin-1"), max_size=8
)
values = st.sampled_from(("", " keep-alive", " 2", " close", " Bearer x ", "a", " chunked")) | st.text(
    st.characters(codec="latin-1"), max_size=12
)
lines = (
    st.sampled_from([line for lines in LINES for line in lines] + [HOST, JSON, TRACE, *HOSTS, *TYPES])
    | st.builds("{}:{}".format, names, values)
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.sampled_from((LINE, *STARTS)), st.lists(lines, max_size=6), st.binary(max_size=20))
async def test_heads_put_together(start: str, more: list[str], body: bytes) -> None:
    agreed(request(body, HOST, *more, start=start).replace(b"LENGTH", b"2"))
    agreed(request(body, *more, start=start))


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, with the sanitizers in it."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler is here to build the fuzzer with")
    program = tmp_path_factory.mktemp("fuzz") / "fuzz_head"
    flags = ["-O1", "-g", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fno-sanitize-recover=all"]
    flags += ["-fsanitize=address,undefined", f"-I{ROOT / 'native'}", "-o", str(program)]
    built = subprocess.run(
        [compiler, *flags, str(ROOT / "tests/fuzz/fuzz_head.c"), str(ROOT / "native/head.c")],
        capture_output=True,
        text=True,
        check=False,
    )
    if "cannot find" in built.stderr:
        pytest.skip(f"the compiler has no sanitizers: {built.stderr.splitlines()[0]}")
    assert built.returncode == 0, built.stderr
    return program


def fuzzed(program: Path, count: int, excess: int) -> subprocess.CompletedProcess[bytes]:
    data = b"".join(len(one).to_bytes(4, "big") + one for one in REQUESTS if 0 < len(one) <= 16_384)
    command = [str(program), str(SEED), str(count), str(excess)]
    return subprocess.run(command, input=data, capture_output=True, timeout=120, check=False)


def test_no_input_is_read_past_its_end(fuzzer: Path) -> None:
    with seeded():
        run = fuzzed(fuzzer, FUZZED, 0)
        assert run.returncode == 0, run.stderr.decode("latin-1")[-4000:]
    odd, whole, partial = map(int, run.stdout.split())
    assert odd + whole + partial == FUZZED
    assert min(odd, whole, partial) > FUZZED / 100


def test_a_byte_past_the_end_would_be_found(fuzzer: Path) -> None:
    run = fuzzed(fuzzer, 10_000, 1)
    assert run.returncode != 0
    assert b"heap-buffer-overflow" in run.stderr
