"""The store comes back with less than it had: nobody wins twice, what was found is said, all is restored.

A service runs while its store is killed and its disk is emptied, put back to an older copy, torn or cut; one
more is started afterwards. The control holds the same check against a service that knows of no watermark.
"""

import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson
import pytest

from scanner.errors import StoreRefusedError, StoreUnavailableError
from scanner.ledger.embedded import EmbeddedStore, embedded_store
from scanner.ledger.restore import export
from scanner.ledger.restore.files import START
from scanner.ledger.watermark import WentBackError, look, path_of, read_mark
from scanner.queue.archive import position, read_archive
from scanner.queue.keeper import Keeper
from scanner.service.supervisor import service
from tests.brand import POINTS, Brand, brand_in, campaign_toml, deck_toml
from tests.ledger.restoring import restore_into
from tests.phone import scan_request
from tests.queue.archives import audited
from tests.running import Running, eventually, serving

EARLY, LATE, FREE, STOCK = 40, 20, 10, 60
POOLS = POINTS + deck_toml(STOCK)
AOF, MULTI = "appendonlydir", b"*1\r\n$5\r\nMULTI\r\n"


@dataclass
class Scene:
    """A service, and its store apart. EARLY codes were claimed, the disk was copied (to `older`), LATE more
    were claimed, and all of it was exported. `answers` are alice's, by code; `bobs` are codes that bob won.
    """

    brand: Brand
    run: Running
    store: EmbeddedStore
    room: Path
    codes: list[str]
    older_bytes: int = 0
    answers: dict[str, bytes] = field(default_factory=dict)
    bobs: list[str] = field(default_factory=list)

    @property
    def disk(self) -> Path:
        return self.store.data_dir / AOF

    @property
    def log(self) -> Path:
        """The file that the store appends to."""
        [file] = self.disk.glob("*.incr.aof")
        return file

    @property
    def export(self) -> Path:
        return self.room / "ledger.jsonl"

    async def scan(self, member: str, codes: Sequence[str]) -> list[bytes]:
        token, bodies = self.brand.token(member), dict[str, bytes]()

        async def all_were_judged() -> bool:
            rest = [code for code in codes if code not in bodies]
            replies = await self.run.scan_all([scan_request(token, code) for code in rest], 4)
            judged = zip(rest, replies, strict=True)
            bodies.update({code: one.body for code, one in judged if one.outcome != "overloaded"})
            return len(bodies) == len(codes)

        await eventually(all_were_judged)
        return [bodies[code] for code in codes]

    async def claim(self, codes: Sequence[str]) -> None:
        self.answers |= dict(zip(codes, await self.scan("alice", codes), strict=True))

    async def steal(self) -> set[str]:
        """Bob tries all that alice won; the outcomes."""
        outcomes = []
        for code, body in zip(self.answers, await self.scan("bob", list(self.answers)), strict=True):
            outcomes.append(orjson.loads(body)["outcome"])
            if outcomes[-1] == "accepted":
                self.bobs.append(code)
        return set(outcomes)

    def faults(self) -> list[str]:
        """Codes that won twice."""
        return [f"{code} won twice" for code in self.bobs]

    async def back(self, damage: Callable[["Scene"], None]) -> None:
        """The store dies, its disk is damaged, and it is started again."""

        async def is_marked() -> bool:
            seen, now = read_mark(self.brand.settings), await look(self.brand.store, None)
            return seen == now

        async def is_not_ready() -> bool:
            return not await self.run.is_ready()

        await eventually(is_marked)
        self.run.embedded = self.store
        self.run.kill_store()
        await eventually(is_not_ready)
        damage(self)
        await self.store.join()

    async def goes_on(self) -> None:
        """Everything is as it was: the running service by itself, and the audit."""
        await eventually(self.run.is_ready)
        again = await self.scan("alice", list(self.answers))
        assert again == [replayed(body) for body in self.answers.values()]
        assert await self.steal() == {"claimed"}
        assert not self.faults()
        claimed = len(self.answers)
        await self.claim(self.codes[claimed : claimed + FREE])
        assert all(b'"accepted","scan_id"' in body for body in self.answers.values())
        left = await self.brand.store.client.hgetall(self.brand.store.keys.pool("spring", "deck"))
        assert left == {b"p": b"%d" % max(0, STOCK - len(self.answers))}
        assert (await self.brand.audit()).differences == []


def replayed(body: bytes) -> bytes:
    return body.replace(b'"replayed":false', b'"replayed":true')


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene_in(tmp_path) as scene:
        yield scene


@asynccontextmanager
async def scene_in(room: Path) -> AsyncIterator[Scene]:
    """The store is not the service's own, so that nobody starts it again but we."""
    async with (
        embedded_store(room / "store") as store,
        brand_in(room / "data", store_url=store.url) as brand,
        serving(brand) as run,
    ):
        await brand.apply(campaign_toml(pools=POOLS))
        lot = await brand.lot(EARLY + LATE + 2 * FREE)
        codes = brand.codes(lot, range(EARLY + LATE + 2 * FREE))
        scene = Scene(brand, run, store, room, codes)
        await scene.claim(codes[:EARLY])
        shutil.copytree(scene.disk, room / "older")
        scene.older_bytes = scene.log.stat().st_size
        await scene.claim(codes[EARLY : EARLY + LATE])
        await export(brand.store, scene.export)
        yield scene


def empty(scene: Scene) -> None:
    shutil.rmtree(scene.disk)


def older(scene: Scene) -> None:
    shutil.move(scene.disk, scene.room / "right")
    shutil.copytree(scene.room / "older", scene.disk)


def cut(scene: Scene) -> None:
    """In the middle of what was acknowledged, and of a command."""
    with scene.log.open("r+b") as log:
        log.truncate((scene.older_bytes + scene.log.stat().st_size) // 2)


def torn(scene: Scene) -> None:
    """In the middle of a claim that nobody was answered, as the power leaves it."""
    data = scene.log.read_bytes()
    last = data[data.rindex(MULTI) :]
    with scene.log.open("ab") as log:
        log.write(last[: len(last) * 2 // 3])


def flipped(scene: Scene) -> None:
    """Where a command begins."""
    data = scene.log.read_bytes()
    change(scene.log, data.index(MULTI, scene.older_bytes), bytes(byte ^ 0xFF for byte in MULTI))


def changed(scene: Scene) -> None:
    """In the middle of a value, where the store does not see it: who was first, in an entry."""
    data = scene.log.read_bytes()
    change(scene.log, data.index(b"alice", scene.older_bytes), b"alicf")


def change(file: Path, at: int, data: bytes) -> None:
    with file.open("r+b") as log:
        log.seek(at)
        log.write(data)


FOUND = {empty: "it is empty", older: "its last one is entry", cut: "its last one is entry"}


@pytest.mark.parametrize("damage", FOUND)
async def test_a_store_that_went_back(scene: Scene, damage: Callable[[Scene], None]) -> None:
    async def says_so() -> bool:
        status, text = await scene.run.operations("/readyz")
        return status == 503 and "gone back to an older state" in text

    await scene.back(damage)
    assert await scene.steal() == {"unavailable"}
    await eventually(says_so)
    with pytest.raises(WentBackError, match=f"{FOUND[damage]}.* was seen in it.*scanner ledger restore FILE"):
        async with service(scene.brand.settings):
            pass
    assert await scene.steal() == {"unavailable"}

    restored = await restore_into(scene.brand.store, [scene.export], scene.brand.keyring.table())
    assert restored.entries == 3 + EARLY + LATE
    await scene.goes_on()
    async with serving(scene.brand) as scene.run:
        assert await scene.steal() == {"claimed"}


async def test_the_right_store_comes_back(scene: Scene) -> None:
    def right(scene: Scene) -> None:
        shutil.rmtree(scene.disk)
        shutil.move(scene.room / "right", scene.disk)

    await scene.back(older)
    assert await scene.steal() == {"unavailable"}
    scene.run.kill_store()
    right(scene)
    await scene.store.join()
    await scene.goes_on()


async def test_a_torn_tail_loses_nothing_and_the_service_goes_on(scene: Scene) -> None:
    before = await look(scene.brand.store, None)
    await scene.back(torn)
    assert await look(scene.brand.store, before) == before
    await scene.goes_on()


async def test_a_damage_in_the_middle_keeps_the_store_from_starting(scene: Scene) -> None:
    with pytest.raises(StoreUnavailableError, match=r"does not answer; its log: .*store\.log"):
        await scene.back(flipped)
    assert "Bad file format" in (scene.store.data_dir / "store.log").read_text()
    assert await scene.steal() == {"unavailable"}
    empty(scene)
    await scene.store.join()
    await restore_into(scene.brand.store, [scene.export])
    await scene.goes_on()


async def test_a_value_that_was_changed_is_found_by_the_audit(scene: Scene) -> None:
    await scene.back(changed)
    await eventually(scene.run.is_ready)
    [found] = (await scene.brand.audit()).differences
    assert found.text.endswith("entry and claim disagree about the member")
    with pytest.raises(StoreRefusedError, match=f"1 entries that are not in the export.* {found.where}: "):
        await restore_into(scene.brand.store, [scene.export])
    await restore_into(scene.brand.store, [scene.export], may_discard=lambda surplus: True)
    await scene.goes_on()


async def test_control_without_a_watermark_a_code_wins_twice(tmp_path: Path) -> None:
    """As on a new host: nobody has seen what the older copy lacks."""
    async with scene_in(tmp_path) as scene:
        await scene.back(older)
        path_of(scene.brand.settings).unlink()
        async with serving(scene.brand) as scene.run:
            assert "accepted" in await scene.steal()
            assert scene.faults() == [f"{code} won twice" for code in scene.codes[EARLY : EARLY + LATE]]


async def test_the_services_own_store(tmp_path: Path) -> None:
    """What a service saw is known to the next one on its data directory."""
    disk = tmp_path / "data" / AOF
    async with brand_in(tmp_path / "data") as brand, serving(brand) as run:
        await brand.apply(campaign_toml(pools=POOLS))
        code = brand.code(await brand.lot(2), 0)
    shutil.copytree(disk, tmp_path / "older")
    async with brand_in(tmp_path / "data") as brand, serving(brand) as run:
        assert (await run.scan("alice", code)).outcome == "accepted"
    shutil.rmtree(disk)
    shutil.copytree(tmp_path / "older", disk)
    async with brand_in(tmp_path / "data") as brand:
        with pytest.raises(WentBackError, match="its last one is entry"):
            async with service(brand.settings):
                pass


async def test_what_was_acknowledged_after_the_export_is_told(scene: Scene) -> None:
    """Only the export is left: it is restored, and no service starts as if nothing was missing."""
    await scene.claim(scene.codes[EARLY + LATE : EARLY + LATE + 1])
    await scene.back(empty)
    await restore_into(scene.brand.store, [scene.export])
    with pytest.raises(WentBackError, match="its last one is entry"):
        async with service(scene.brand.settings):
            pass
    assert await scene.steal() == {"unavailable"}


@pytest.mark.parametrize("is_whole", [False, True], ids=["in part", "control: whole"])
async def test_a_history_that_is_too_large_stays_in_the_archive(scene: Scene, *, is_whole: bool) -> None:
    """What was trimmed has no room in the stream: restored whole, the service would refuse every scan."""
    store, archive, rest = scene.brand.store, scene.room / "archive", scene.room / "rest.jsonl"
    whole_bytes = await store.client.execute_command("MEMORY USAGE", store.keys.events, "SAMPLES", 0)
    keeper = Keeper(store, archive, keep_s=0.0)
    await keeper.keep()
    await keeper.leave()
    archived = position(archive)
    await scene.claim(scene.codes[EARLY + LATE :][:FREE])
    await export(store, rest, after=archived.entry)
    await scene.back(empty)
    assert await scene.steal() == {"unavailable"}
    restored = await restore_into(
        store,
        [rest],
        scene.brand.keyring.table(),
        archive=lambda after: read_archive(archive, after=after),
        stream_from=START if is_whole else archived.entry,
    )
    assert restored.left_out == (0 if is_whole else archived.added - 1)
    settings = scene.brand.settings.model_copy(update={"stream_max_bytes": int(whole_bytes * 0.8)})

    async def is_full() -> bool:
        return "at its limit, claims are refused" in (await scene.run.operations("/readyz"))[1]

    async with serving(replace(scene.brand, settings=settings)) as scene.run:
        if is_whole:
            await eventually(is_full)
            assert await scene.steal() == {"unavailable"}
            return
        await eventually(scene.run.is_ready)
        again = await scene.scan("alice", list(scene.answers))
        assert again == [replayed(body) for body in scene.answers.values()]
        assert await scene.steal() == {"claimed"}
        await scene.claim(scene.codes[-FREE:])
        assert all(b'"accepted","scan_id"' in body for body in scene.answers.values())
    assert (await keeper.keep()).archived == 2 * FREE
    await keeper.leave()
    assert (await audited(scene.brand, archive)).differences == []
