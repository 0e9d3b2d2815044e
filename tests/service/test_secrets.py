"""What is secret, and who members are, is in no log, error, answer, metric or process list, whatever happens.

A real service and real commands run with secrets that are easy to find again, through what goes well and
what does not; all that anybody could see of it is kept, and searched.
"""

import asyncio
import io
import json
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import psutil
import pytest
from aiohttp import ClientSession

from scanner.cli import app
from scanner.codes import Keyring, to_gs1, to_pin
from scanner.errors import ScannerError
from scanner.identity import TokenKeys
from scanner.ledger.connection import open_store
from scanner.settings import Settings, read_key_file
from tests.brand import BATCH, DRAWS, GRANTS, Brand, campaign_toml, settings_for
from tests.guarded import PASSWORDS, Guarded, guarded_store
from tests.phone import Phone, http_request, scan_request
from tests.running import eventually
from tests.service.here import serving_here
from tests.service.pools import ASK, friends, http_get, http_to, locked, wheel

ALICE, BOB, CRM = "member-Marked-alice", "member-Marked-bob", "service-Marked-crm"
POOLS = wheel() + locked() + friends()
CLAIMS = "/v1/shares/{}/claims"


@dataclass
class Seen:
    """``marks`` are what must not be seen, by what they are; ``places`` all that was seen, by where."""

    marks: dict[str, str] = field(default_factory=dict)
    places: list[tuple[str, str]] = field(default_factory=list)

    def add(self, where: str, text: str | bytes) -> None:
        self.places.append((where, text.decode("utf-8", "replace") if isinstance(text, bytes) else text))

    def leaks(self) -> set[tuple[str, str]]:
        """Which mark was seen where."""
        return {
            (what, where)
            for where, text in self.places
            for what, mark in self.marks.items()
            # A PIN is short: six digits of a longer number are none.
            if re.search(rf"(?<!\d){re.escape(mark)}(?!\d)", text, re.IGNORECASE)
        }


async def run_command(seen: Seen, environment: Mapping[str, str], *arguments: str) -> int:
    """Runs ``scanner`` as a process of its own, and keeps what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "scanner",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environment},
    )
    output, _ = await process.communicate()
    seen.add(f"scanner {arguments[0]}", output)
    assert process.returncode is not None
    return process.returncode


@asynccontextmanager
async def served(seen: Seen, settings: Settings, directory: Path) -> AsyncIterator[tuple[int, int]]:
    """``scanner serve`` as a process of its own: its two ports. Keeps its log, and its process list."""
    log = directory / f"serve-{len(seen.places)}.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "scanner",
            "serve",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, **settings.to_environment()},
        )
    try:
        ports: list[int] = []

        async def is_serving() -> bool:
            assert process.returncode is None, log.read_text()
            ports[:] = map(int, re.findall(r"http://[0-9.]+:(\d+)", log.read_text()))
            return bool(ports)

        await eventually(is_serving, 60)
        yield ports[0], ports[1]
        tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in tree:
            with suppress(psutil.NoSuchProcess):
                seen.add("process list", " ".join(one.cmdline()))
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()
        seen.add("log", log.read_bytes())


@dataclass
class Stage:
    """A brand with marked secrets on a store that knows its users."""

    guarded: Guarded
    operator: Brand
    settings: Settings
    seen: Seen
    codes: list[str]
    pinned: str
    pin: str

    @property
    def environment(self) -> dict[str, str]:
        return self.settings.to_environment()


@asynccontextmanager
async def stage_in(directory: Path) -> AsyncIterator[Stage]:
    async with guarded_store(directory / "store") as guarded:
        url = guarded.url("operator")
        settings = settings_for(directory / "data", store_url=url, log_level="debug")
        seen = Seen()
        assert await run_command(seen, settings.to_environment(), "keys", "init") == 0
        keyring = Keyring.parse(read_key_file(settings.keys_path))
        token_keys = TokenKeys.parse(read_key_file(settings.token_keys_path))
        store = await open_store(settings)
        try:
            operator = Brand(settings, store, keyring, token_keys)
            await operator.apply(campaign_toml(pools=POOLS))
            lot, pinned = await operator.lot(20), await operator.lot(2, pin=True)
            kid = keyring.minting_kid
            codes = operator.codes(lot, range(20))
            pin = to_pin(keyring.table().pin(kid, pinned, 0))
            seen.marks |= {f"password of {role}": password for role, password in PASSWORDS.items()}
            for path in (settings.keys_path, settings.token_keys_path):
                key = json.loads(path.read_bytes())["keys"][0]["key"]
                seen.marks |= {f"{path.name}": key, f"half of {path.name}": key[:32]}
            seen.marks |= {"alice": ALICE, "bob": BOB, "crm": CRM, "PIN": pin}
            seen.marks |= {f"code {n}": code for n, code in enumerate(codes)}
            seen.marks |= {"GS1": to_gs1(keyring.table().seal(kid, lot, 3))}
            seen.marks |= {"pinned code": operator.code(pinned, 0)}
            serve = settings_for(directory / "data", store_url=guarded.url("service"), log_level="debug")
            yield Stage(guarded, operator, serve, seen, codes, operator.code(pinned, 0), pin)
        finally:
            await store.close()


@dataclass
class Asker:
    """Sends requests, and keeps the answers, head and body."""

    stage: Stage
    phone: Phone

    async def ask(self, request: bytes, *, keep: bool = True) -> dict[str, object]:
        reply = await self.phone.send(request)
        if keep:
            head = "\n".join(f"{name}: {value}" for name, value in reply.headers.items())
            self.stage.seen.add(f"answer {reply.status}", head.encode() + reply.body)
        return orjson.loads(reply.body)


async def talk(stage: Stage, port: int) -> None:
    """Everything that phones and services say, right and wrong."""
    brand, marks = stage.operator, stage.seen.marks
    alice, bob, crm = brand.token(ALICE), brand.token(BOB), brand.service_token(CRM)
    marks |= {"token of alice": alice, "token of bob": bob, "token of crm": crm}
    codes = iter(stage.codes)
    async with Phone(port) as phone:
        ask = Asker(stage, phone).ask

        async def post(path: str, token: str, body: object, *, keep: bool = True) -> dict[str, object]:
            data = body if isinstance(body, bytes) else orjson.dumps(body)
            return await ask(http_to(path, data, authorization=f"Bearer {token}"), keep=keep)

        first = next(codes)
        # What this answers has a share's token in it, which is for alice alone.
        share = str((await ask(scan_request(alice, first), keep=False)).get("share", "no-share-came"))
        marks["share"] = share
        await ask(scan_request(bob, first))
        for code, body in (
            (stage.pinned, {}),
            (stage.pinned, {"pin": "000000"}),
            (stage.pinned, {"pin": stage.pin}),
        ):
            await ask(scan_request(alice, code, **body))
        await ask(scan_request(alice + "x", next(codes)))
        await ask(scan_request(alice, next(codes)[:-1] + "0"))
        await ask(scan_request(crm, next(codes)))
        wrong = (b"{", orjson.dumps({"code": 7}), orjson.dumps([next(codes)]), b"\xff" + first.encode())
        for body in wrong:
            await ask(http_request(body, authorization=f"Bearer {alice}"))
        await post(
            BATCH, crm, {"scans": [{"member": BOB, "code": next(codes)}, {"member": BOB, "code": 7}, 8]}
        )
        await post(BATCH, bob, {"scans": [{"member": BOB, "code": next(codes)}]})
        grant = {"request_id": "g1", "campaign": "spring", "pool": "locked", "member": ALICE}
        await post(GRANTS, crm, grant, keep=False)  # names the member to the service that did
        await post(GRANTS, crm, grant | {"pool": "none"})
        await post(GRANTS, bob, grant)
        await post(DRAWS, alice, ASK)
        await post(DRAWS, alice, ASK | {"member": BOB})
        for token in (bob, bob, alice):
            await post(CLAIMS.format(share), token, {})
        await post(CLAIMS.format(share[:-2] + "AA"), bob, {})
        for text in (first, first[:-1] + "0", next(codes), "x"):
            await ask(http_get(f"/v1/codes/{text}", f"Authorization: Bearer {alice}"))
        await ask(http_get(f"/v1/nothing/{first}", f"Authorization: Bearer {alice}"))
    for broken in (
        f"POST /v1/scans?code={first} HTTP/1.1\r\nAuthorization: Bearer {alice}\r\nContent-Length: x\r\n\r\n",
        f"{alice} {first}\r\n\r\n",
        f"POST /v1/scans HTTP/1.1\r\nAuthorization: Bearer {alice}\r\n{first}\r\n\r\n",
    ):
        async with Phone(port) as phone:
            await Asker(stage, phone).ask(broken.encode())


async def look(stage: Stage, ops_port: int) -> None:
    async with ClientSession() as session:
        for path in ("/metrics", "/readyz", "/livez", "/nothing"):
            async with session.get(f"http://127.0.0.1:{ops_port}{path}") as response:
                stage.seen.add(path, str(response.headers) + await response.text())


async def is_ready(ops_port: int, wanted: bool) -> bool:
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{ops_port}/readyz") as response:
        return (response.status == 200) is wanted


async def test_nothing_secret_is_seen_of_a_service_that_runs_well_and_badly(tmp_path: Path) -> None:
    async with stage_in(tmp_path) as stage:
        admin = stage.guarded.admin.execute_command
        async with served(stage.seen, stage.settings, tmp_path) as (port, ops_port):
            await talk(stage, port)
            await look(stage, ops_port)
            # The store refuses the password from now on, and ends what was open.
            await admin("ACL", "SETUSER", "service", "resetpass", ">something-else-entirely")
            await admin("CLIENT", "KILL", "USER", "service")
            await eventually(lambda: is_ready(ops_port, False))
            await talk(stage, port)
            await look(stage, ops_port)
            await admin("ACL", "SETUSER", "service", f">{PASSWORDS['service']}")
            await eventually(lambda: is_ready(ops_port, True))
            # What stands there is not what was written: the store's own errors, and faults of ours.
            for key in ("pool:spring/wheel", "campaign:spring"):
                await admin("SET", f"{stage.operator.store.keys.prefix}{key}", ALICE)
            await talk(stage, port)
            await admin("ACL", "SETUSER", "service", "-fcall")
            await talk(stage, port)
            await look(stage, ops_port)
        [log] = [text for where, text in stage.seen.places if where == "log"]
        assert "not ready" in log  # it did fail, and said so
        assert {where for where, _ in stage.seen.places} >= {
            "process list",
            "/metrics",
            "answer 503",
            "answer 200",
        }
        assert stage.seen.leaks() == set()


def fails(seen: Seen, environment: Mapping[str, str], *arguments: str) -> None:
    """Runs a command here, which must fail with an error of ours; keeps all that it could show."""
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(shown), redirect_stderr(shown):
        for name, value in environment.items():
            patch.setenv(name, value)
        with pytest.raises(ScannerError) as failure:
            app([*arguments], standalone_mode=False)
    seen.add(f"scanner {arguments[0]}", shown.getvalue())
    seen.add("what a traceback would show", "".join(traceback.format_exception(failure.value)))


async def test_nothing_secret_is_seen_of_commands_that_fail(tmp_path: Path) -> None:
    async with stage_in(tmp_path) as stage:
        seen, directory = stage.seen, tmp_path / "data"
        good = stage.operator.settings.to_environment()
        password = PASSWORDS["operator"]
        urls = [
            f"unix://operator:{password}@{tmp_path}/nothing",
            f"redis://operator:{password}@127.0.0.1:1",
            f"unix://nobody:{password}@{stage.guarded.socket}",
            f"unix://operator:{password}x@{stage.guarded.socket}",
            f"unix://operator:{password[:-1]}@{stage.guarded.socket}",
            stage.guarded.url("reader"),
            f"rediss://operator:{password}@127.0.0.1:1",
            f"rediss://operator:{password}@127.0.0.1:1?ssl_cert_reqs=none",
            f"redis://operator:{password}/x@store.example",
            f"redis://operator:{password}@store.example:x",
            f"operator:{password}@store.example",
        ]
        seen.marks["most of a password"] = password[:-1]
        for url in urls:
            for command in ("audit", "serve"):
                await asyncio.to_thread(fails, seen, good | {"SCANNER_STORE_URL": url}, command)
        for name in ("keys.json", "token-keys.json"):
            path = directory / name
            whole = path.read_bytes()
            key = json.loads(whole)["keys"][0]["key"].encode()
            short, long = whole.replace(key, key[:-2]), whole.replace(key, key + b"z")
            for broken in (whole[:-9], whole + whole, short, long, key):
                path.write_bytes(broken)
                await asyncio.to_thread(fails, seen, good, "serve")
            path.write_bytes(whole)
            path.chmod(0o644)
            await asyncio.to_thread(fails, seen, good, "serve")
            path.chmod(0o600)
        wrong = good | {"SCANNER_STORE_URL": urls[3]}
        for environment, code, line in (
            (wrong, 1, ("audit",)),
            (good, 0, ("audit",)),
            (good, 0, ("keys", "list")),
            (good, 0, ("lot", "list")),
        ):
            assert await run_command(seen, environment, *line) == code, line
        assert seen.leaks() == set()


async def test_control_a_line_with_a_secret_is_found(tmp_path: Path) -> None:
    """The same searching finds each mark in the log of a process."""
    async with stage_in(tmp_path) as stage:
        stage.seen.marks["token"] = stage.operator.token(ALICE)
        program = "import logging, sys\nfor mark in sys.argv[1:]: logging.error('who: %s', mark)"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, *stage.seen.marks.values(), stderr=asyncio.subprocess.PIPE
        )
        _, output = await process.communicate()
        stage.seen.add("log", output)
        assert {what for what, where in stage.seen.leaks() if where == "log"} == set(stage.seen.marks)


async def test_an_error_of_ours_shows_where_it_was_and_not_what_was_sent(
    brand: Brand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A traceback has lines of our source, and no values; also where the lane's own code fails."""
    await brand.apply(campaign_toml())
    lot = await brand.lot(2)

    def fault(*given: object, **named: object) -> None:
        raise RuntimeError("planted")

    for place in ("fast_lane.lane.FastLane.context_of", "scans.Scans._judge", "desk.Desk.identify"):
        monkeypatch.setattr(f"scanner.service.{place}", fault)
    code, token = brand.code(lot, 0), brand.token(ALICE)
    seen = Seen({"alice": ALICE, "code": code, "token": token})
    with caplog.at_level(logging.DEBUG):
        async with serving_here(brand) as port, Phone(port) as phone:
            for request in (
                scan_request(token, code),
                scan_request(token, code, unknown=1),
                http_get(f"/v1/codes/{code}", f"Authorization: Bearer {token}"),
            ):
                reply = await phone.send(request)
                assert (reply.status, reply.outcome) == (500, "internal_error")
                seen.add("answer", str(reply))
    assert not any("planted" in text for _, text in seen.places)
    seen.add("log", caplog.text)
    assert "planted" in caplog.text
    assert "Traceback" in caplog.text
    assert seen.leaks() == set()
