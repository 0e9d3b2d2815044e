"""Lots in the store: register, activate, block, move, assign; and reading them back.

An operation that is given a request id is done once under it: repeated, it changes nothing and returns False,
and the id with anything else is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from scanner.codes.format import LOT_MAX, SERIAL_MAX
from scanner.errors import StoreRefusedError
from scanner.identity.tokens import NAME_CHARS_MAX
from scanner.ledger.connection import Store
from scanner.ledger.keys import BUCKET_SERIALS

SIZE_MAX = SERIAL_MAX + 1
_READ_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Lot:
    """A lot of codes.

    ``active`` holds inclusive serial ranges, merged and sorted; ``seller`` is "" where nobody is assigned.
    """

    no: int
    kid: int
    size: int
    product: str
    campaign: str
    pin: bool
    state: str
    active: tuple[tuple[int, int], ...]
    seller: str

    @property
    def active_count(self) -> int:
        return sum(to - first + 1 for first, to in self.active)


def parse_lot(no: int, fields: Mapping[bytes, bytes]) -> Lot:
    """A lot from its hash (``functions/lot_register.lua``, ``functions/lot_assign.lua``)."""
    text = {name.decode(): value.decode() for name, value in fields.items()}
    ranges = (part.split("-") for part in text["active"].split(",") if part)
    return Lot(
        no=no,
        kid=int(text["kid"]),
        size=int(text["size"]),
        product=text["product"],
        campaign=text["campaign"],
        pin=text["pin"] == "1",
        state=text["state"],
        active=tuple((int(first), int(to)) for first, to in ranges),
        seller=text.get("seller", ""),
    )


async def register(
    store: Store, *, by: str, kid: int, size: int, product: str, campaign: str, pin: bool = False
) -> int:
    """Makes a new lot known and returns its number. Its codes can be minted from then on.

    Raises:
        StoreRefusedError: no such campaign, or all lot numbers are given out.
    """
    if not 1 <= size <= SIZE_MAX:
        raise StoreRefusedError(f"a lot has 1 to {SIZE_MAX} codes, not {size}: mint several lots")
    keys = store.keys
    no = int(await store.client.hincrby(keys.numbers, "lot", 1))
    if no > LOT_MAX:
        raise StoreRefusedError(f"all {LOT_MAX} lot numbers of this brand are given out")
    await store.call(
        "lot_register",
        [keys.events, keys.directory, keys.lot(no), keys.campaign(campaign)],
        [by, no, kid, size, product, campaign, int(pin)],
    )
    return no


async def activate(store: Store, no: int, *, by: str, first: int, last: int, request: str = "") -> bool:
    """The serials first … last may be claimed from now on. False where they were active already."""
    return await _operate(store, "lot_activate", no, [by, request, no, first, last])


async def block(store: Store, no: int, *, by: str, request: str = "") -> bool:
    """No code of the lot can be claimed any more. False where it was blocked already."""
    return await _operate(store, "lot_block", no, [by, request, no])


async def move(store: Store, no: int, *, by: str, campaign: str, request: str = "") -> bool:
    """The lot's unclaimed codes belong to ``campaign`` from now on. False where they did already."""
    return await _operate(store, "lot_move", no, [by, request, no, campaign], store.keys.campaign(campaign))


async def assign(store: Store, no: int, *, by: str, seller: str, request: str = "") -> bool:
    """The lot's codes are sold by ``seller`` from now on, where a token names no other; by nobody where that
    is "". False where it was so already.

    Raises:
        StoreRefusedError: no such lot, or no token could name such a seller.
    """
    if len(seller) > NAME_CHARS_MAX or not seller.isprintable():
        raise StoreRefusedError(f"a seller has 1 to {NAME_CHARS_MAX} printable characters")
    return await _operate(store, "lot_assign", no, [by, request, no, seller])


async def _operate(store: Store, verb: str, no: int, args: list[str | int], *keys: str) -> bool:
    names = store.keys
    fixed = [names.events, names.directory, names.operations, names.lot(no)]
    return bool(await store.call(verb, [*fixed, *keys], args))


def request_of(request: str, no: int) -> str:
    """The request id of one lot, in an operation on several that was given one: ``<request>/<lot>``.

    Each lot is a call of its own, so that a repetition finishes what a broken connection left undone, and
    does not do again what was done.
    """
    return f"{request}/{no}" if request else ""


async def read(store: Store, no: int) -> Lot | None:
    fields = await store.client.hgetall(store.keys.lot(no))
    return parse_lot(no, fields) if fields else None


async def claimed_count(store: Store, lot: Lot) -> int:
    """How many codes of the lot were claimed, counted in the claim records."""
    buckets = -(-lot.size // BUCKET_SERIALS)
    total = 0
    for start in range(0, buckets, _READ_AT_ONCE):
        pipe = store.client.pipeline(transaction=False)
        for bucket in range(start, min(start + _READ_AT_ONCE, buckets)):
            pipe.hlen(store.keys.claims(lot.no, bucket))
        total += sum(await pipe.execute())
    return total


async def first_unclaimed(store: Store, lot: Lot) -> int | None:
    """The lowest serial that was not claimed yet."""
    for bucket in range(-(-lot.size // BUCKET_SERIALS)):
        claimed = {int(slot) for slot in await store.client.hkeys(store.keys.claims(lot.no, bucket))}
        serials = range(bucket * BUCKET_SERIALS, min(lot.size, (bucket + 1) * BUCKET_SERIALS))
        for serial in serials:
            if serial % BUCKET_SERIALS not in claimed:
                return serial
    return None


async def read_all(store: Store) -> list[Lot]:
    """Every lot, by number."""
    names = await store.client.zrange(store.keys.directory, 0, -1)
    numbers = sorted(int(name[4:]) for name in names if name.startswith(b"lot:"))
    lots = []
    for start in range(0, len(numbers), _READ_AT_ONCE):
        part = numbers[start : start + _READ_AT_ONCE]
        pipe = store.client.pipeline(transaction=False)
        for no in part:
            pipe.hgetall(store.keys.lot(no))
        replies = await pipe.execute()
        lots += [parse_lot(no, fields) for no, fields in zip(part, replies, strict=True) if fields]
    return lots


async def of_product(store: Store, product: str) -> list[Lot]:
    """Every lot of the product, by number, whatever campaign it belongs to."""
    return [lot for lot in await read_all(store) if lot.product == product]
