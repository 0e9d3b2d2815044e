"""Records written straight into their buckets, as claims leave them: where real ones would take hours."""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Final

from bench.growth.places import Place
from bench.store import PrivateStore, stop_if_cancelled
from scanner.ledger.keys import BUCKET_SERIALS

HEAD_BYTES: Final = 24
ITEM_BYTES: Final = 2


async def write(
    filled: PrivateStore, lots: list[int], places: Iterable[Place], pools: int, advance: Callable[[int], None]
) -> None:
    """Writes a record for each place, those of a bucket at once. ``places`` come in the order of serials."""
    names, call = filled.store.keys, filled.store.wire.call
    record = bytes(HEAD_BYTES + ITEM_BYTES * pools)  # the store packs none of its bytes, whatever they are
    for (lot, bucket), group in groupby(places, key=lambda place: (place[0], place[1] // BUCKET_SERIALS)):
        fields: list[str | bytes | int] = []
        for _, serial in group:
            fields += serial % BUCKET_SERIALS, record
        await call(["HSET", names.claims(lots[lot], bucket), *fields])
        advance(len(fields) // 2)
        stop_if_cancelled()
