"""A store that is not the one that was seen is known, however it came about; one that is goes on."""

import stat
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from scanner.errors import ConfigurationError, StoreUnavailableError
from scanner.ledger.directory import Directory
from scanner.ledger.embedded import EmbeddedStore
from scanner.ledger.watermark import (
    Mark,
    RestoringError,
    WentBackError,
    fields_digest,
    look,
    path_of,
    read_mark,
    write_mark,
)
from scanner.service import watching
from scanner.service.watching import watched
from tests.brand import Brand, campaign_toml
from tests.running import eventually


async def entries(brand: Brand) -> list[tuple[bytes, dict[bytes, bytes]]]:
    return await brand.store.client.xrange(brand.store.keys.events, "-", "+", count=1000)


async def put(brand: Brand, entry: bytes | str, fields: dict[bytes, bytes]) -> None:
    flat = (part for pair in fields.items() for part in pair)
    await brand.store.client.execute_command("XADD", brand.store.keys.events, entry, *flat)


async def drop(brand: Brand) -> None:
    await brand.store.client.execute_command("DEL", brand.store.keys.events)


@pytest.fixture
async def seen(brand: Brand) -> Mark:
    """The last of three entries."""
    await brand.apply(campaign_toml())
    await brand.lot(5)
    mark = await look(brand.store, None)
    assert mark is not None
    return mark


async def test_the_last_entry_is_seen_and_moves_on(brand: Brand, seen: Mark) -> None:
    told = await entries(brand)
    assert seen == Mark(told[-1][0].decode(), fields_digest(told[-1][1]), 3)
    assert await look(brand.store, seen) == seen
    await brand.lot(1)
    now = await look(brand.store, seen)
    assert (now.added, now.entry > seen.entry) == (5, True)


async def test_an_empty_store_has_nothing_to_see(brand: Brand) -> None:
    assert await look(brand.store, None) is None


async def went_empty(brand: Brand) -> None:
    await drop(brand)


async def went_shorter(brand: Brand) -> None:
    *kept, _ = await entries(brand)
    await drop(brand)
    for entry in kept:
        await put(brand, *entry)


async def went_shorter_and_on(brand: Brand) -> None:
    await went_shorter(brand)
    for _ in range(3):
        await put(brand, "*", {b"type": b"lot.blocked"})


async def went_otherwise(brand: Brand) -> None:
    """By chance under the same id."""
    *kept, (id, fields) = await entries(brand)
    await drop(brand)
    for entry in (*kept, (id, fields | {b"at": b"1"})):
        await put(brand, *entry)


async def went_new(brand: Brand) -> None:
    """Another history, as long, and later."""
    await drop(brand)
    for _ in range(3):
        await put(brand, "*", {b"type": b"lot.blocked"})


WENT: dict[Callable[[Brand], Awaitable[None]], str] = {
    went_empty: "it is empty, and entry {0} of 20.*Z was seen in it; bring the right store back, or rebuild",
    went_shorter: "its last one is entry .* of 20.*Z, and entry {0} of",
    went_shorter_and_on: "it has another history, in which entry {0} of .* is missing",
    went_otherwise: "it has another history, in which entry {0} of .* is another one than the one seen",
    went_new: "it has another history, in which entry {0} of .* is missing",
}


@pytest.mark.parametrize("went", WENT)
async def test_a_store_that_went_back_is_known_and_its_return_too(
    brand: Brand, seen: Mark, went: Callable[[Brand], Awaitable[None]]
) -> None:
    told, directory = await entries(brand), Directory(brand.store, lambda: seen)
    found = WENT[went].format(seen.entry)
    await directory.refresh()
    await went(brand)
    for _ in range(2):
        with pytest.raises(WentBackError, match=f"gone back to an older state: {found}"):
            await look(brand.store, seen)
        with pytest.raises(WentBackError):
            await directory.refresh()
        assert not directory.loaded
    await drop(brand)
    for entry in told:
        await put(brand, *entry)
    assert await look(brand.store, seen) == seen
    await directory.refresh()
    assert directory.loaded


async def test_a_process_that_begins_afterwards_is_told_by_the_mark(brand: Brand, seen: Mark) -> None:
    await went_shorter(brand)
    unknowing = Directory(brand.store)
    await unknowing.refresh()
    assert unknowing.loaded  # the control: without the mark it serves
    knowing = Directory(brand.store, lambda: seen)
    with pytest.raises(WentBackError):
        await knowing.refresh()
    assert not knowing.loaded


@pytest.mark.parametrize("kept", [0, 1])
async def test_a_stream_that_was_trimmed_is_the_same(brand: Brand, seen: Mark, kept: int) -> None:
    for _ in range(4):
        await put(brand, "*", {b"type": b"lot.blocked"})
    await brand.store.client.execute_command("XTRIM", brand.store.keys.events, "MAXLEN", kept)
    now = await look(brand.store, seen)
    assert now.added == (7 if kept else seen.added)


async def test_a_stream_that_was_only_trimmed_less_far_is_another(brand: Brand, seen: Mark) -> None:
    """Of the new history as many were trimmed as could be, and they were fewer than had been seen."""
    await went_new(brand)
    await brand.store.client.execute_command("XTRIM", brand.store.keys.events, "MAXLEN", 1)
    with pytest.raises(WentBackError, match="is missing"):
        await look(brand.store, seen)


async def test_a_ledger_that_is_being_restored_is_not_served_from(brand: Brand, seen: Mark) -> None:
    directory = Directory(brand.store)
    await directory.refresh()
    await drop(brand)
    await brand.store.client.execute_command("SET", brand.store.keys.events, "the ledger is being restored")
    with pytest.raises(RestoringError, match="is being restored; if that was broken off"):
        await look(brand.store, seen)
    with pytest.raises(RestoringError):
        await directory.refresh()
    assert not directory.loaded


async def test_after_an_outage_the_store_is_judged_before_it_is_served_from(brand: Brand, seen: Mark) -> None:
    """A claim must not reach a store that came back as another one since the last look."""
    away = replace(brand.store, client=_Away(brand.store.client))
    directory = Directory(away, lambda: seen)
    await directory.refresh()
    away.client.is_away = True
    with pytest.raises(StoreUnavailableError, match="did not answer"):
        await directory.refresh()
    assert not directory.loaded


class _Away:
    """A client whose store can be away."""

    def __init__(self, client: object) -> None:
        self._client, self.is_away = client, False

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)

    def pipeline(self, *, transaction: bool) -> object:
        if self.is_away:
            raise RedisConnectionError("gone")
        return self._client.pipeline(transaction=transaction)


async def test_the_file_is_private_and_read_back(brand: Brand, seen: Mark) -> None:
    assert read_mark(brand.settings) is None
    write_mark(brand.settings, seen)
    assert read_mark(brand.settings) == seen
    path = path_of(brand.settings)
    assert path.name == "watermark-main.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"format":2}', '{"format":1,"entry":"x","digest":"","added":1}', "\xff"]
)
async def test_a_damaged_file_is_refused(brand: Brand, text: str) -> None:
    path_of(brand.settings).write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError, match="is damaged: bring it back"):
        read_mark(brand.settings)
    with pytest.raises(ConfigurationError, match="is damaged"):
        async with watched(brand.settings, _embedded(brand)):
            pass


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "WATCH_EVERY_S", 0.01)


@pytest.mark.usefixtures("_often")
async def test_the_watch_keeps_the_mark(brand: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def write(settings: object, mark: Mark) -> None:
        written.append(mark)
        write_mark(brand.settings, mark)

    monkeypatch.setattr(watching, "advance_mark", write)
    async with watched(brand.settings, _embedded(brand)):
        assert read_mark(brand.settings) is None
        await brand.apply(campaign_toml())

        async def is_kept() -> bool:
            return read_mark(brand.settings) == await look(brand.store, None)

        await eventually(is_kept)
        await brand.lot(1, active=False)
        await eventually(is_kept)
        await brand.lot(1, active=False)
    assert await is_kept()  # also what came between the last look and the end
    assert written == sorted(set(written), key=lambda mark: mark.added)


@pytest.mark.usefixtures("_often")
async def test_the_watch_says_once_what_it_found_and_leaves_the_mark(
    brand: Brand, seen: Mark, caplog: pytest.LogCaptureFixture
) -> None:
    told = await entries(brand)
    async with watched(brand.settings, _embedded(brand)):
        await went_shorter_and_on(brand)

        async def is_said() -> bool:
            return len(caplog.messages) > 0

        await eventually(is_said)
        assert read_mark(brand.settings) == seen
        await drop(brand)
        for entry in told:
            await put(brand, *entry)
        await brand.lot(1)

        async def goes_on() -> bool:
            return read_mark(brand.settings) != seen

        await eventually(goes_on)
    said = [text for text in caplog.messages if "gone back" in text]
    assert said[:1] == caplog.messages[:1]
    assert len(said) == len(set(said))  # what was found may have changed meanwhile


@pytest.mark.usefixtures("_often")
async def test_a_mark_that_cannot_be_written_stops_nothing(
    brand: Brand, seen: Mark, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(settings: object, mark: Mark) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(watching, "advance_mark", write)
    async with watched(brand.settings, _embedded(brand)):
        pass
    [text] = caplog.messages
    assert text.startswith("the watermark cannot be kept, so a loss will not be seen after a restart: ")


def _embedded(brand: Brand) -> EmbeddedStore:
    return EmbeddedStore(brand.settings.data_dir)
