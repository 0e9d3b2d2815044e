"""Forgeries die on the CPU: a million of them win nothing and cost the store no command."""

import random

import orjson

from scanner.codes import to_text
from tests.brand import Brand, campaign_toml

FORGERIES = 1_000_000


async def commands_processed(brand: Brand) -> int:
    return int((await brand.store.client.info("stats"))["total_commands_processed"])


async def test_a_million_forgeries_win_nothing_and_cost_the_store_nothing(brand: Brand) -> None:
    """Half of them random, half a genuine code with one bit flipped, all through the service's own path."""
    await brand.apply(campaign_toml())
    lot = await brand.lot(1_000)
    scanner = brand.scanner()
    genuine = [brand.keyring.table().seal(brand.keyring.minting_kid, lot, serial) for serial in range(1_000)]
    assert (await scanner.scan("alice", to_text(genuine[0])))["outcome"] == "accepted"
    authorization = f"Bearer {brand.token('mallory')}"
    answer, dice = scanner.scans.answer, random.Random(9)

    def forgeries() -> list[bytes]:
        raw = [dice.randbytes(15) for _ in range(5_000)]
        raw += (
            (int.from_bytes(dice.choice(genuine)) ^ 1 << dice.randrange(120)).to_bytes(15)
            for _ in range(5_000)
        )
        return [orjson.dumps({"code": to_text(code)}) for code in raw]

    before = await commands_processed(brand)
    refused = 0
    for _ in range(FORGERIES // 10_000):
        for body in forgeries():
            refused += (await answer(authorization, body)).outcome == "unknown_code"
    assert refused == FORGERIES
    assert await commands_processed(brand) == before + 1  # the one that asked
    # Control: a genuine code is not refused, and does cost the store a command.
    assert (await scanner.scan("alice", to_text(genuine[1])))["outcome"] == "accepted"
    assert await commands_processed(brand) > before + 2
