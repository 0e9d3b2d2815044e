"""The store's users: each role has what it needs, nothing that it does not need, and nothing dangerous."""

import asyncio
import contextlib
import hashlib
import io
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from scanner.cli import app
from scanner.cli.keys import create_missing_keys
from scanner.codes import Keyring, to_pin
from scanner.errors import ConfigurationError, StoreRefusedError, StoreUnavailableError
from scanner.identity import TokenKeys
from scanner.ledger import lots
from scanner.ledger.acl import ROLES, digest_of, user_line
from scanner.ledger.client import Client
from scanner.ledger.connection import client_for, load_functions, open_store
from scanner.ledger.functions import Library, library
from scanner.ledger.keys import Keys
from scanner.queue import Consumer, Event, keeper
from scanner.settings import Settings, read_key_file
from tests.brand import BATCH, DRAWS, GRANTS, Brand, campaign_toml, settings_for
from tests.guarded import Guarded, guarded_store
from tests.phone import Phone, scan_request
from tests.queue.archives import write
from tests.running import eventually, serving
from tests.service.pools import ASK, LOCKED, friends, http_get, http_to, wheel

LIMITS = "[limits]\nper_day = 50\ntotal = 90\n"
LUCKY = """
[[pool]]
id = "lucky"
draw = "odds"
budget = "100.00"
[[pool.prize]]
id = "cash"
kind = "cash"
amount = { min = "0.10", max = "2.00", total = "20.00" }
odds = "0.5"
stock = 20
"""
POOLS = LIMITS + wheel() + LOCKED.format(stock=5).replace('"1h"', '"1s"') + friends() + LUCKY
FILE = campaign_toml(pools=POOLS)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with guarded_store(tmp_path / "store") as store:
        yield store


def settings_as(role: str, guarded: Guarded, tmp_path: Path, **values: object) -> Settings:
    return settings_for(tmp_path / "data", store_url=guarded.url(role), **values)


@asynccontextmanager
async def brand_as(role: str, guarded: Guarded, tmp_path: Path) -> AsyncIterator[Brand]:
    """A brand on the store, as a user of the role sees it; `settings` are those of its service."""
    settings = settings_as("service", guarded, tmp_path)
    create_missing_keys(settings)
    keyring = Keyring.parse(read_key_file(settings.keys_path))
    token_keys = TokenKeys.parse(read_key_file(settings.token_keys_path))
    store = await open_store(settings_as(role, guarded, tmp_path))
    try:
        yield Brand(settings, store, keyring, token_keys)
    finally:
        await store.close()


async def every_endpoint(port: int, operator: Brand, lot: int, pinned: int) -> None:
    """What phones and services ask, one of each kind, so that the claim function does all that it can."""
    alice, bob, crm = operator.token("alice"), operator.token("bob"), operator.service_token()
    async with Phone(port) as phone:

        async def post(path: str, token: str, body: object) -> dict[str, Any]:
            request = http_to(path, orjson.dumps(body), authorization=f"Bearer {token}")
            return (await phone.send(request)).data

        async def scan(code: str, **body: object) -> dict[str, Any]:
            return (await phone.send(scan_request(alice, code, **body))).data

        grant = {"request_id": "g1", "campaign": "spring", "pool": "locked", "member": "alice"}
        assert (await post(GRANTS, crm, grant))["outcome"] == "granted"
        first = await scan(operator.code(lot, 0))
        assert first["outcome"] == "accepted"
        assert (await scan(operator.code(lot, 0)))["replayed"] is True
        assert (await post(DRAWS, alice, ASK))["outcome"] == "accepted"
        assert (await post(DRAWS, alice, ASK | {"request_id": "r2"}))["outcome"] == "accepted"
        opened = await post(f"/v1/shares/{first['share']}/claims", bob, {})
        assert opened["outcome"] == "accepted"
        pin = to_pin(operator.keyring.table().pin(operator.keyring.minting_kid, pinned, 0))
        wrong = "000000" if pin != "000000" else "111111"
        assert (await scan(operator.code(pinned, 0), pin=wrong))["outcome"] == "pin_wrong"
        assert (await scan(operator.code(pinned, 0), pin=pin))["outcome"] == "accepted"
        scans = [{"member": f"m-{n}", "code": operator.code(lot, n)} for n in range(1, 9)]
        results = (await post(BATCH, crm, {"scans": scans}))["results"]
        assert {result["outcome"] for result in results} == {"accepted"}
        look = http_get(f"/v1/codes/{operator.code(lot, 0)}", f"Authorization: Bearer {alice}")
        assert (await phone.send(look)).data["by_you"] is True
        # One more packet, which nobody unlocks: it goes back when its second is over.
        assert (await post(GRANTS, crm, grant | {"request_id": "g2"}))["outcome"] == "granted"


async def test_the_service_needs_each_of_its_commands_and_no_other(guarded: Guarded, tmp_path: Path) -> None:
    async with brand_as("operator", guarded, tmp_path) as operator:
        await operator.apply(FILE)
        lot, pinned = await operator.lot(20), await operator.lot(5, pin=True)
        await a_group_with_dead_letters(guarded)
        await guarded.forget()
        # From here on nobody but the service asks the store, and the administrator, who only watches.
        async with brand_as("service", guarded, tmp_path) as brand, serving(brand) as run:
            await every_endpoint(run.port, operator, lot, pinned)
            await eventually(lambda: is_in_stream(guarded, b"grant.expired"))
        assert await guarded.refused() == []
        assert ROLES["service"].commands - await guarded.used() == set()
        assert not (await operator.audit()).differences


async def is_in_stream(guarded: Guarded, type: bytes) -> bool:
    entries = await guarded.admin.xrange(Keys("main").events, "-", "+", count=1000)
    return any(fields[b"type"] == type for _, fields in entries)


@pytest.mark.parametrize(
    "command", ["fcall", "hdel", "hmget", "hset", "set", "time", "xadd", "xlen", "zadd", "zrem"]
)
async def test_a_command_too_few_is_noticed_before_anything_is_written(
    guarded: Guarded, tmp_path: Path, command: str
) -> None:
    """Nothing rolls back where a function is stopped half way: it asks first what it may."""
    async with brand_as("operator", guarded, tmp_path) as operator:
        await operator.apply(campaign_toml())
        lot = await operator.lot(2)
        async with brand_as("service", guarded, tmp_path) as brand:
            scanner = brand.scanner()
            assert (await scanner.scan("alice", operator.code(lot, 0)))["outcome"] == "accepted"
            await guarded.take("service", command)
            assert (await scanner.scan("alice", operator.code(lot, 1)))["outcome"] == "unavailable"
            await guarded.give_all("service")
            assert (await scanner.scan("alice", operator.code(lot, 1)))["replayed"] is False
        assert not (await operator.audit()).differences


async def test_control_a_function_that_does_not_ask_leaves_half_a_claim(
    guarded: Guarded, tmp_path: Path
) -> None:
    async with brand_as("operator", guarded, tmp_path) as operator:
        await operator.apply(campaign_toml())
        lot = await operator.lot(1)
        code = library().code.replace("if not redis.acl_check_cmd(", "if false and not redis.acl_check_cmd(")
        careless = Library("careless", code.replace(library().version, "careless"))
        await load_functions(replace(operator.store, library=careless))
        async with brand_as("service", guarded, tmp_path) as brand:
            await guarded.take("service", "xadd")
            scanner = replace(brand, store=replace(brand.store, library=careless)).scanner()
            assert (await scanner.scan("alice", operator.code(lot, 0)))["outcome"] == "unavailable"
        [difference] = (await operator.audit()).differences
        assert "claimed, but no entry says so" in difference.text


@pytest.mark.parametrize("command", ["del", "hdel", "hset", "time", "xadd", "zadd", "zcard", "zrange"])
async def test_a_change_is_made_wholly_or_not_at_all(guarded: Guarded, tmp_path: Path, command: str) -> None:
    async with brand_as("operator", guarded, tmp_path) as operator:
        await operator.apply(campaign_toml())
        lot = await operator.lot(2, active=False)
        await guarded.take("operator", command)
        with pytest.raises((StoreRefusedError, StoreUnavailableError)):
            await lots.activate(operator.store, lot, by="test", first=0, last=1)
        await guarded.give_all("operator")
        assert not (await operator.audit()).differences
        assert await lots.activate(operator.store, lot, by="test", first=0, last=1)


# Every command of the command line that asks the store, each so that it does something. `stream tail` is the
# reader's, and `queue keep` the keeper's, below.
COMMANDS = """
store load
campaign check {file}
campaign apply {file} --yes
campaign apply {more} --dry-run
campaign apply {more} --yes
campaign list
campaign show spring
campaign top-up spring wheel p5 3 --request-id t1
campaign top-up spring lucky --budget 5.00
campaign pause spring --request-id p1
campaign resume spring
campaign disclose spring --out {out}/pages
campaign apply {autumn} --yes
campaign apply {autumn_again} --yes
lot mint --campaign spring --product 06901234567892 --count 5 --out {out}/codes.txt
lot mint --again 2 --out {out}/again.txt
lot activate 2 --request-id a1
lot assign 2 --seller s-1
lot move 2 --campaign autumn
lot print 2 --out {out}/sheets
lot list
lot show 2
lot block 2
audit
stream export --out {out}/ledger.jsonl
ledger restore {out}/ledger.jsonl --yes
ledger restore {archive} --stream-from 2099-12-31T00:00:00Z --yes
ledger accept --yes
queue status
queue dead points
queue retry points 1-0 --unchecked
queue drop points --all --yes
queue forget points --yes
audit
"""
# Those that never do, or only with the embedded store.
OFFLINE = {
    "code inspect",
    "demo",
    "keys init",
    "keys list",
    "keys revoke",
    "keys rotate",
    "queue query",
    "queue schema",
    "queue verify",
    "run",
    "store acl",
    "token issue",
}
# The reader's, and the keeper's.
OTHERS = {"serve", "stream tail", "queue keep", "queue bridge"}  # fmt: skip


def files_for(directory: Path) -> dict[str, Path]:
    """The files that COMMANDS name: a campaign, the same with more, and another twice, before it starts."""
    out = directory / "out"
    for name in ("pages", "sheets"):
        (out / name).mkdir(parents=True)
    later = campaign_toml("autumn", wheel(), starts="2098-01-01T00:00:00+08:00")
    texts = {
        "file": FILE,
        "more": FILE.replace("stock = 10\n", "stock = 12\n"),
        "autumn": later,
        "autumn_again": later.replace("stock = 10\n", "stock = 9\n"),
    }
    for name, text in texts.items():
        (directory / f"{name}.toml").write_text(text, "utf-8")
    return {"out": out} | {name: directory / f"{name}.toml" for name in texts}


def type_in(line: str) -> int:
    """Runs a command in this process; its exit code."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return app(shlex.split(line), standalone_mode=False) or 0


async def something_happens(guarded: Guarded, tmp_path: Path) -> None:
    """Scans that are counted, and a packet that waits: the audit has something to look up."""
    async with brand_as("operator", guarded, tmp_path) as operator:
        await operator.apply(FILE)
        lot = await operator.lot(2)
        async with brand_as("service", guarded, tmp_path) as brand:
            scanner = brand.scanner()
            assert (await scanner.scan("alice", operator.code(lot, 0)))["outcome"] == "accepted"
            grant = {"request_id": "g", "campaign": "spring", "pool": "locked", "member": "alice"}
            assert (await scanner.serve(GRANTS, **grant))["outcome"] == "granted"


async def test_operators_need_each_of_their_commands_and_no_other(
    guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_as("operator", guarded, tmp_path)
    create_missing_keys(settings)
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    names = files_for(tmp_path) | {"archive": settings.archive_path}
    await something_happens(guarded, tmp_path)
    await guarded.admin.execute_command("FUNCTION", "FLUSH")  # as before a first use of this version
    await guarded.forget()
    for line in COMMANDS.format_map(names).strip().splitlines():
        if line == "queue status":
            await a_group_with_dead_letters(guarded)
        elif "--stream-from" in line:
            write(settings.archive_path, await guarded.admin.xrange(Keys("main").events))
        assert await asyncio.to_thread(type_in, line) == 0, line
    # A claim that no entry speaks of: now the audit looks closer, and finds it.
    await guarded.admin.execute_command("HSET", Keys("main").claims(2, 0), "3", "x")
    assert await asyncio.to_thread(type_in, "audit") == 1
    assert await guarded.refused() == []
    assert ROLES["operator"].commands - await guarded.used() == set()


async def a_group_with_dead_letters(guarded: Guarded) -> None:
    """A group with something pending and two dead letters, as an administrator would make them up. One of its
    consumers has nothing."""
    ask, keys = guarded.admin.execute_command, Keys("main")
    await ask("XGROUP CREATE", keys.events, "points", "0")
    await ask("XGROUP CREATECONSUMER", keys.events, "points", "idle")
    await ask("XREADGROUP", "GROUP", "points", "a", "COUNT", 1, "STREAMS", keys.events, ">")
    letter = {"type": "x", "tries": 5, "reason": "no", "consumer": "a", "failed_at": 1, "fields": "{}"}
    for entry in ("1-0", "2-0"):
        pairs = {"entry": entry, **letter}.items()
        await ask("XADD", keys.dead("points"), "*", *(part for pair in pairs for part in pair))


def test_every_command_is_among_them() -> None:
    typed = {" ".join(line.split()[:2]) for line in COMMANDS.strip().splitlines()}
    typed = {name.split()[0] if name.split()[0] == "audit" else name for name in typed}
    group = typer.main.get_command(app)
    there = set()
    for name, command in group.commands.items():
        there |= {f"{name} {sub}" for sub in getattr(command, "commands", {})} or {name}
    assert there - OFFLINE - OTHERS == typed


async def test_readers_need_each_of_their_commands_and_see_the_stream_alone(
    guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with brand_as("operator", guarded, tmp_path) as operator:
        await operator.apply(campaign_toml())
        await operator.lot(2)
    monkeypatch.setenv("SCANNER_STORE_URL", guarded.url("reader"))
    await guarded.forget()
    for line in ("stream tail", f"stream export --out {tmp_path}/ledger.jsonl"):
        assert await asyncio.to_thread(type_in, line) == 0
    settings = settings_as("reader", guarded, tmp_path)
    assert await consumed(settings, guarded, "lot.registered") == ["campaign.applied", "lot.activated"]
    for line in ("queue status", "queue dead points"):
        assert await asyncio.to_thread(type_in, line) == 0
    assert await guarded.refused() == []
    await retried(guarded, monkeypatch, "points")
    assert await consumed(settings, guarded, "") == ["lot.registered"]
    async with guarded.client("reader") as client:
        assert await guarded.refused() == []
        assert ROLES["reader"].commands - await guarded.used() == set()
        # What is sent back is handled as an event of the ledger: that is for operators alone.
        assert await is_refused(client, f"XADD {Keys('main').again('points')} * a b")
        assert await is_refused(client, f"XRANGE {Keys('other').events} - +")
        assert await is_refused(client, f"XRANGE {Keys('other').dead('points')} - +")
        assert await is_refused(client, f"HGETALL {Keys('main').lot(1)}")
        assert await is_refused(client, f"XADD {Keys('main').events} * a b")


async def retried(guarded: Guarded, monkeypatch: pytest.MonkeyPatch, group: str) -> None:
    """An operator sends a group's dead letters back."""
    with monkeypatch.context() as operator:
        operator.setenv("SCANNER_STORE_URL", guarded.url("operator"))
        assert await asyncio.to_thread(type_in, f"queue retry {group} --all") == 0


@pytest.mark.parametrize("share", [(0, 1), (0, 2)])
async def test_the_reader_of_a_group_keeps_to_that_group(
    guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: tuple[int, int]
) -> None:
    async with brand_as("operator", guarded, tmp_path) as operator:
        await operator.apply(campaign_toml())
    await guarded.limit_reader("points", "coupons")
    settings = settings_as("reader", guarded, tmp_path)
    assert await consumed(settings, guarded, "campaign.applied", share=share) == []
    await retried(guarded, monkeypatch, Consumer("points", share=share).group)
    assert await consumed(settings, guarded, "", share=share) == ["campaign.applied"]
    assert await guarded.refused() == []
    main = Keys("main")
    async with guarded.client("reader") as client:
        for group, own in (("coupons", True), ("cash", False), ("points2", False), ("pointsXof2", False)):
            for line in (
                f"XRANGE {main.dead(group)} - +",
                f"XADD {main.dead(group)} * a b",
                f"XDEL {main.again(group)} 1-0",
                f"XREADGROUP GROUP {group} a STREAMS {main.events} {main.again(group)} > >",
            ):
                assert await is_refused(client, line) is not own, line
        assert await is_refused(client, f"XADD {main.again('points')} * a b")
        assert await is_refused(client, f"XADD {main.events} * a b")
        # No store knows of groups: within the ledger's stream they are open to every reader.
        assert not await is_refused(client, f"XACK {main.events} cash 1-0")


@pytest.mark.parametrize("group", ["", "*", "a b", "a\nuser evil on", "[a-z]", "a" * 65])
def test_a_group_that_would_open_more_than_its_own_is_refused(group: str) -> None:
    with pytest.raises(ConfigurationError, match="a group"):
        user_line("reader", "a", digest_of("long enough a password"), Keys("main"), groups=[group])


async def consumed(settings: Settings, guarded: Guarded, failing: str, **options: Any) -> list[str]:
    """The types that a consumer of `points` succeeds with, until its group has nothing left."""
    seen: list[str] = []
    consumer = Consumer("points", settings=settings, tries=2, wait_s=(0, 0), **options)

    @consumer.handler
    async def note(event: Event) -> None:
        if event.type == failing:
            raise ValueError
        seen.append(event.type)

    async def is_done() -> bool:
        ask, keys = guarded.admin.execute_command, Keys("main")
        streams = [
            group for key in (keys.events, keys.again(consumer.group)) for group in await groups_of(ask, key)
        ]
        return len(streams) == 2 and not any(group["lag"] or group["pending"] for group in streams)

    task = asyncio.create_task(consumer.run())
    await eventually(is_done)
    consumer.stop()
    await task
    return seen


async def groups_of(ask: Any, key: str) -> list[dict[str, Any]]:
    try:
        return await ask("XINFO GROUPS", key)
    except ResponseError:  # there is no such stream yet
        return []


async def test_the_keeper_needs_each_of_its_commands_and_no_other(
    guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_as("keeper", guarded, tmp_path, archive_dir=tmp_path / "archive", stream_keep_s=0)
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(keeper, "NAME_KEPT_S", 0)
    await something_happens(guarded, tmp_path)
    await a_group_with_dead_letters(guarded)
    await guarded.forget()
    events = Keys("main").events
    there = await guarded.admin.xlen(events)
    assert await asyncio.to_thread(type_in, "queue keep --once") == 0
    assert await guarded.admin.xlen(events) == there  # nobody has handled any
    assert await asyncio.to_thread(type_in, "queue keep --once") == 0
    assert await guarded.refused() == []
    assert ROLES["keeper"].commands - await guarded.used() == set()
    await guarded.admin.execute_command("XGROUP DESTROY", events, "points")
    assert await asyncio.to_thread(type_in, "queue keep --once") == 0
    assert await guarded.admin.xlen(events) < there


DANGEROUS = """
FLUSHALL|FLUSHDB|SWAPDB 0 1|KEYS *|RANDOMKEY|DUMP {ours}|RESTORE {ours} 0 x REPLACE|MIGRATE h 1 {ours} 0 1
CONFIG SET appendfsync no|CONFIG REWRITE|CONFIG RESETSTAT|DEBUG SLEEP 0|SHUTDOWN NOSAVE|SAVE|BGREWRITEAOF
EVAL return 0|EVAL_RO return 0|EVALSHA x 0|SCRIPT LOAD x|SCRIPT FLUSH|SCRIPT KILL
FUNCTION FLUSH|FUNCTION DELETE x|FUNCTION RESTORE x|FUNCTION KILL|FUNCTION DUMP
ACL LIST|ACL SETUSER x on nopass +@all|ACL GETUSER operator|ACL LOAD|ACL LOG
CLIENT LIST|CLIENT KILL ID 1|CLIENT PAUSE 1|MONITOR|SLOWLOG GET|LATENCY RESET|MODULE LIST|REPLICAOF NO ONE
CLUSTER INFO|SYNC|PSYNC ? -1|SUBSCRIBE x|PUBLISH x y|COMMAND|ROLE
XSETID {events} 0-0
EXPIRE {ours} 1|PERSIST {ours}|COPY {ours} {ours}x|RENAME {other} {ours}|RENAME {ours} {other}|UNLINK {other}
OBJECT ENCODING {ours}|DEL {other}|HSET {other} a b|HGET {other} a|XADD {other} * a b|XREAD STREAMS {other} 0
ZADD {other} 1 a
SET scanner:x 1|GET anything|FCALL {claim} 1 {other}
"""
# Where the service may not write: what there is to win, who sells it, and what has happened.
FOR_THE_SERVICE = """
SET {events} x|SET {ours} x|SET {claims} x|HSET {ours} a b|HSET {campaign} a b|HDEL {claims} 1|HDEL {ours} a
ZADD {directory} 1 a|ZREM {directory} a|HINCRBY {numbers} lot 1|XADD {claims} * a b|HSET {operations} a b
"""
# What a restore takes, or the functions of a new version.
FOR_OPERATORS = """
RENAME {ours} {ours}x|UNLINK {ours}|DEL {ours}|SCAN 0|FUNCTION LOAD REPLACE x|MEMORY USAGE {ours}
XDEL {events} 0-1|XGROUP DESTROY {events} g|XADD {events} * a b
"""
# What takes from the stream, and moves its groups.
FOR_THE_KEEPER = """
XTRIM {events} MAXLEN 0|XGROUP SETID {events} g 0
"""


@pytest.mark.parametrize("role", ROLES)
async def test_what_is_dangerous_is_refused(guarded: Guarded, tmp_path: Path, role: str) -> None:
    async with brand_as("operator", guarded, tmp_path) as operator:
        claim = operator.store.library.function("claim")
    ours = Keys("main")
    names = {
        "ours": ours.lot(1),
        "events": ours.events,
        "claims": ours.claims(1, 0),
        "campaign": ours.campaign("spring"),
        "directory": ours.directory,
        "numbers": ours.numbers,
        "operations": ours.operations,
        "other": Keys("other").lot(1),
        "claim": claim,
    }
    lines = DANGEROUS
    if role != "operator":
        lines += FOR_THE_SERVICE + FOR_OPERATORS
    if role != "keeper":
        lines += FOR_THE_KEEPER
    if role == "service":  # whose function appends
        lines = lines.replace("XADD {events} * a b", "XADD {directory} * a b")
    lines = [line for line in lines.format_map(names).replace("\n", "|").split("|") if line]
    async with guarded.client(role) as client:
        done = [line for line in lines if not await is_refused(client, line)]
    assert done == []


async def is_refused(client: Client, line: str) -> bool:
    try:
        await client.execute_command(*line.split(" "))
    except NoPermissionError:
        return True
    except RedisError:
        pass  # it would have been run, had it made sense
    return False


async def test_a_service_without_its_functions_says_who_may_load_them(
    guarded: Guarded, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="scanner store load"):
        await open_store(settings_as("service", guarded, tmp_path))


async def test_nobody_comes_in_without_a_name(guarded: Guarded) -> None:
    client = client_for(f"unix://{guarded.socket}", 1000)
    with pytest.raises(RedisError, match="Authentication required"):
        await client.execute_command("PING")
    await client.aclose()


@pytest.mark.parametrize("user", ["", "a b", "a\nuser evil on", "default", "ü", "a" * 65])
def test_a_name_that_no_store_takes_is_refused(user: str) -> None:
    with pytest.raises(ConfigurationError):
        user_line("reader", user, digest_of("long enough a password"), Keys("main"))


@pytest.mark.parametrize("password", ["", "fifteen-chars-x", "line\nbreak-inside", "pässwörd-of-unicode"])
def test_a_password_that_is_weak_or_gets_lost_is_refused(password: str) -> None:
    with pytest.raises(ConfigurationError, match="16 or more"):
        digest_of(password)


def test_a_digest_is_what_the_store_calls_one() -> None:
    assert digest_of("a password of 24 letters") == hashlib.sha256(b"a password of 24 letters").hexdigest()
