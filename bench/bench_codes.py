"""What a code costs: to verify, to mint, to know its id, draws and PIN, to find it in a carrier."""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest

from bench.brand import KID, PRODUCT, TABLE
from bench.cost import Cost
from bench.yardsticks import BLAKE3, LANES, PYTHON
from scanner.codes import digital_link, read, to_text, url_for
from scanner.codes.format import SERIAL_MAX

LOT = 123_456
CODES = 1000
MINTED = 65_536
POOLS = (b"points", b"lucky", b"wheel")

Input = TypeVar("Input")


@pytest.fixture(scope="module")
def serials() -> list[int]:
    return random.Random(1).sample(range(SERIAL_MAX + 1), CODES)


@pytest.fixture(scope="module")
def texts(serials: list[int]) -> dict[str, list[bytes]]:
    """Codes as they are read, by what becomes of them."""
    dice = random.Random(2)
    genuine = [to_text(TABLE.seal(KID, LOT, serial)).encode() for serial in serials]
    return {
        "accepted": genuine,
        "forged": [to_text(bytes((KID << 2,)) + dice.randbytes(14)).encode() for _ in serials],
        "malformed": [text[:-1] + b"!" for text in genuine],
    }


def of_each(function: Callable[[Input], object], inputs: Sequence[Input]) -> Callable[[], None]:
    """The function for one input after another."""

    def work() -> None:
        for value in inputs:
            function(value)

    return work


@pytest.mark.parametrize("outcome", ["accepted", "forged", "malformed"])
def bench_verify(cost: Cost, texts: dict[str, list[bytes]], outcome: str) -> None:
    cost(of_each(TABLE.verify, texts[outcome]), of=CODES, against=BLAKE3)


def bench_verify_gs1(cost: Cost, serials: list[int]) -> None:
    links = [digital_link("https://b.example", PRODUCT, TABLE.seal(KID, LOT, n)) for n in serials]
    cost(of_each(TABLE.verify_gs1, [read(link).code for link in links]), of=CODES, against=BLAKE3)


@pytest.mark.parametrize("outcome", ["accepted", "forged"])
def bench_verify_many(cost: Cost, texts: dict[str, list[bytes]], outcome: str) -> None:
    codes = texts[outcome]
    cost(lambda: TABLE.verify_many(codes), of=CODES, against=LANES)


def bench_mint(cost: Cost) -> None:
    cost(lambda: TABLE.mint(KID, LOT, 0, MINTED), of=MINTED, against=LANES)


def bench_scan_id(cost: Cost, serials: list[int]) -> None:
    cost(of_each(lambda serial: TABLE.scan_id(KID, LOT, serial), serials), of=CODES, against=BLAKE3)


def bench_draw(cost: Cost, serials: list[int]) -> None:
    cost(of_each(lambda serial: TABLE.draw(KID, LOT, serial, b"lucky"), serials), of=CODES, against=BLAKE3)


def bench_marks(cost: Cost, texts: dict[str, list[bytes]]) -> None:
    """A scan id and the draws of three pools, in one call."""
    numbers = TABLE.verify_many(texts["accepted"])
    cost(of_each(lambda number: TABLE.marks(number, POOLS), numbers), of=CODES, against=BLAKE3)


def bench_pin(cost: Cost, serials: list[int]) -> None:
    cost(of_each(lambda serial: TABLE.pin(KID, LOT, serial), serials), of=CODES, against=BLAKE3)


@pytest.mark.parametrize("carrier", ["bare", "url", "digital-link"])
def bench_read(cost: Cost, serials: list[int], carrier: str) -> None:
    codes = [TABLE.seal(KID, LOT, serial) for serial in serials]
    carriers = {
        "bare": [to_text(code) for code in codes],
        "url": [url_for("https://brand.example/c", to_text(code)) for code in codes],
        "digital-link": [digital_link("https://brand.example", PRODUCT, code) for code in codes],
    }
    cost(of_each(read, carriers[carrier]), of=CODES, against=PYTHON)
