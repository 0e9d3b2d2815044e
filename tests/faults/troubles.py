"""What a real store can be brought to say no to: each trouble's beginning, and its end."""

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.brand import Brand
from tests.running import eventually

Trouble = Callable[[Brand], Awaitable[None]]


def said(*commands: tuple[str, ...]) -> Trouble:
    async def say_all(brand: Brand) -> None:
        for command in commands:
            await brand.store.client.execute_command(*command)

    return say_all


def of_another_type(name: str) -> tuple[Trouble, Trouble]:
    """In one step a text stands where the key was: one that is missing would be another trouble."""

    async def begin(brand: Brand) -> None:
        key = brand.store.keys.prefix + name
        await brand.store.client.pipeline(transaction=True).rename(key, "kept").set(key, "x").execute()

    async def end(brand: Brand) -> None:
        await brand.store.client.execute_command("RENAME", "kept", brand.store.keys.prefix + name)

    return begin, end


def _snapshot(brand: Brand) -> Path:
    return brand.settings.data_dir / "dump.rdb"


async def no_snapshot(brand: Brand) -> None:
    """A directory stands where the snapshot would, so that the store refuses to write (MISCONF)."""
    (_snapshot(brand) / "x").mkdir(parents=True)
    client = brand.store.client
    await client.execute_command("CONFIG", "SET", "save", "3600 1000000")
    await client.execute_command("BGSAVE")

    async def has_failed() -> bool:
        return (await client.info("persistence"))["rdb_last_bgsave_status"] == "err"

    await eventually(has_failed)


async def snapshots_again(brand: Brand) -> None:
    shutil.rmtree(_snapshot(brand))
    await brand.store.client.execute_command("CONFIG", "SET", "save", "")


def _set(name: str, value: str) -> tuple[str, ...]:
    return "CONFIG", "SET", name, value


REPLICA, NOBODYS = ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")
STALE = "replica-serve-stale-data"
USER = ("ACL", "SETUSER", "default")
REAL: dict[str, tuple[Trouble, Trouble]] = {
    **{
        f"{name} of another type": of_another_type(name)
        for name in ("events", "directory", "lot:1", "campaign:spring", "pool:spring/wheel", "claims:1:0")
    },
    "READONLY": (said(REPLICA), said(NOBODYS)),
    "MASTERDOWN": (said(_set(STALE, "no"), REPLICA), said(NOBODYS, _set(STALE, "yes"))),
    "NOREPLICAS": (said(_set("min-replicas-to-write", "1")), said(_set("min-replicas-to-write", "0"))),
    "OOM": (said(_set("maxmemory", "1")), said(_set("maxmemory", "0"))),
    "MISCONF": (no_snapshot, snapshots_again),
    "NOPERM to claim": (said((*USER, "-fcall")), said((*USER, "+fcall"))),
    "NOPERM to read": (said((*USER, "-@read")), said((*USER, "+@read"))),
}
