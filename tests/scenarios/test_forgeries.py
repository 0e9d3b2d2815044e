"""Forgeries die on the CPU: they win nothing and cost the store no command.

300,000 of them in CI, ten million with ``SCANNER_FAULTS=long``; others each time (``tests/faults/seeds.py``).
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import orjson

from scanner.codes import to_gs1, to_text
from tests.brand import PRODUCT, Brand, InProcess, campaign_toml
from tests.faults.figures import say
from tests.faults.seeds import seeded, share

FORGERIES, CODES = share(300_000, 10_000_000), 1_000
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


async def commands_processed(brand: Brand) -> int:
    return int((await brand.store.client.info("stats"))["total_commands_processed"])


async def outcomes_of(scanner: InProcess, texts: Iterable[str]) -> Counter[str]:
    """What scans of these texts are answered, through the service's own path."""
    authorization = f"Bearer {scanner.brand.token('mallory')}"
    answer, outcomes = scanner.scans.answer, Counter[str]()
    for text in texts:
        outcomes[(await answer(authorization, orjson.dumps({"code": text}))).outcome] += 1
    return outcomes


def forgeries(rng: random.Random, genuine: Sequence[bytes], count: int) -> Iterator[str]:
    """A third are random; the others are a genuine code with one bit flipped, here and there in a link, or
    with one character another."""
    for n in range(count):
        if n % 3 == 0:
            yield to_text(rng.randbytes(15))
        elif n % 3 == 1:
            raw = (int.from_bytes(rng.choice(genuine)) ^ 1 << rng.randrange(120)).to_bytes(15)
            yield to_text(raw) if n % 30 != 1 else f"https://b.example/01/{PRODUCT}/21/{to_gs1(raw)}"
        else:
            text, at = to_text(rng.choice(genuine)), rng.randrange(24)
            yield text[:at] + rng.choice(CROCKFORD.replace(text[at], "")) + text[at + 1 :]


async def sold(brand: Brand) -> list[bytes]:
    """Codes that would be accepted."""
    await brand.apply(campaign_toml())
    lot, table = await brand.lot(CODES), brand.keyring.table()
    return [table.seal(brand.keyring.minting_kid, lot, serial) for serial in range(CODES)]


async def test_forgeries_win_nothing_and_cost_the_store_nothing(brand: Brand) -> None:
    genuine = await sold(brand)
    scanner = brand.scanner()
    assert (await scanner.scan("alice", to_text(genuine[0])))["outcome"] == "accepted"
    before = await commands_processed(brand)
    with seeded() as rng:
        assert await outcomes_of(scanner, forgeries(rng, genuine, FORGERIES)) == {"unknown_code": FORGERIES}
    assert await commands_processed(brand) == before + 1  # the one that asked
    say(f"forged codes: {FORGERIES:,} random and altered ones, 0 accepted, 0 commands to the store")


async def test_control_one_genuine_code_among_them_is_seen(brand: Brand) -> None:
    genuine = await sold(brand)
    scanner = brand.scanner()
    assert (await scanner.scan("alice", to_text(genuine[0])))["outcome"] == "accepted"
    before = await commands_processed(brand)
    with seeded() as rng:
        texts = [*forgeries(rng, genuine, 999), to_text(genuine[1])]
        rng.shuffle(texts)
        assert await outcomes_of(scanner, texts) == {"unknown_code": 999, "accepted": 1}
    assert await commands_processed(brand) > before + 1
