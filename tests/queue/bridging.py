"""A bridge as it is run, in a process of its own that a test may kill; and what feeds it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from tests.brand import Brand, campaign_toml
from tests.faults.queue_processes import Doomed


def bridge(brand: Brand, directory: Path, *arguments: object, **environment: str) -> Doomed:
    """``scanner queue bridge …`` on the brand's store."""
    return _process(brand, directory, ["scanner"], arguments, environment)


def broken_bridge(
    brand: Brand, directory: Path, which: str, *arguments: object, **environment: str
) -> Doomed:
    """The same, broken on purpose (``broken_bridges.py``)."""
    return _process(brand, directory, ["tests.queue.broken_bridges", which], arguments, environment)


def _process(
    brand: Brand,
    directory: Path,
    module: Sequence[str],
    arguments: Sequence[object],
    environment: Mapping[str, str],
) -> Doomed:
    directory.mkdir(parents=True, exist_ok=True)
    settings = {
        "SCANNER_DATA_DIR": str(brand.settings.data_dir),
        "SCANNER_STORE_URL": "",
        "SCANNER_LOG_LEVEL": "info",
    }
    return Doomed(
        [*module, "queue", "bridge", *map(str, arguments)],
        {**settings, **environment},
        directory / "bridge.log",
    )


class Till:
    """Scans that are accepted; it keeps their ids, by member, in the order of the answers."""

    def __init__(self, brand: Brand, members: int = 20) -> None:
        self._brand = brand
        self._scanner = brand.scanner()
        self._members = members
        self.of: dict[str, list[str]] = {}

    async def open(self) -> "Till":
        await self._brand.apply(campaign_toml())
        self._lot, self._next = await self._brand.lot(100_000), 0
        return self

    @property
    def ids(self) -> set[str]:
        return {id for ids in self.of.values() for id in ids}

    async def scan(self, n: int, dice: Random) -> None:
        for _ in range(n):
            member = f"m{dice.randrange(self._members)}"
            answer = await self._scanner.scan(member, self._brand.code(self._lot, self._next))
            self._next += 1
            assert answer["status"] == 200
            self.of.setdefault(member, []).append(str(answer["scan_id"]))


def first_of_each(ids: list[str]) -> list[str]:
    """What is left after deduplication, in the order of the first copies."""
    return list(dict.fromkeys(ids))


async def nothing_is_left(brand: Brand) -> bool:
    """Whether the only group there is has been given everything, and has acknowledged it."""
    groups = await brand.store.client.execute_command("XINFO", "GROUPS", brand.store.keys.events)
    if not groups:
        return False
    [group] = groups
    pairs = group.items() if isinstance(group, dict) else zip(group[::2], group[1::2], strict=True)
    named = {name.decode(): value for name, value in pairs}
    return (named["pending"], named["lag"]) == (0, 0)
