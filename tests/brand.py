"""A brand to test with: keys, a campaign, lots, and scans that go through the service's own code."""

import time
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from scanner.campaigns import parse
from scanner.cli.keys import create_missing_keys
from scanner.codes import Keyring, to_text
from scanner.identity import Member, TokenKeys
from scanner.ledger import campaigns, lots
from scanner.ledger.audit import AuditReport, audit
from scanner.ledger.claims import ClaimFunction
from scanner.ledger.connection import Store, opened
from scanner.ledger.directory import Directory
from scanner.service.admission import Admission
from scanner.service.batcher import Batcher, Send
from scanner.service.desks import Desks
from scanner.service.metrics import ROW_BYTES, Cells
from scanner.service.openapi import OPERATIONS, outcomes_of
from scanner.service.problems import Answer
from scanner.service.protocol import Route
from scanner.service.scans import Scans
from scanner.service.throttle import THROTTLE_BYTES, Throttle
from scanner.settings import Settings, load_settings, read_key_file
from tests.lane import ScansByLane

PRODUCT = "06901234567892"
SCANS, BATCH, DRAWS, GRANTS = "/v1/scans", "/v1/scans/batch", "/v1/draws", "/v1/grants"
SHARES, CODES = "/v1/shares/{token}/claims", "/v1/codes/{code}"
REFUSALS = {(operation.method, operation.path): outcomes_of(operation) for operation in OPERATIONS}

HEAD = """
[campaign]
id = "{id}"
title = "A test"
organiser = "Example Paints Co., Ltd."
claim_rules = "None."
currency = "CNY"
timezone = "Asia/Shanghai"
starts = {starts}
ends = {ends}
"""
POINTS = """
[[pool]]
id = "points"
draw = "every"
[[pool.prize]]
id = "p50"
kind = "points"
amount = 50
"""


def deck_toml(stock: int) -> str:
    """A deck of so many points, all alike."""
    return f"""
[[pool]]
id = "deck"
draw = "deck"
[[pool.prize]]
id = "p"
kind = "points"
amount = 1
stock = {stock}
"""


def campaign_toml(
    id: str = "spring",
    pools: str = POINTS,
    *,
    starts: str = "2026-01-01T00:00:00+08:00",
    ends: str = "2099-12-31T23:59:59+08:00",
) -> str:
    return HEAD.format(id=id, starts=starts, ends=ends) + pools


def settings_for(data_dir: Path, **values: object) -> Settings:
    """Settings of a private service: a store of its own, free ports."""
    free = {
        "data_dir": data_dir,
        "port": 0,
        "ops_port": 0,
        "workers": 1,
        "store_url": "",
        "log_level": "warning",
        "throttling": False,  # tests fail on purpose, again and again, from one address
        "shedding": False,  # and ask for more than a slow machine can answer in time
        "wait_max_ms": 60_000,
        "drain_s": 0,
    }
    return load_settings(**{**free, **values})


def batcher_for(send: Send, cells: Cells, *, batch_max: int, away_max: int, **values: object) -> Batcher:
    """A batcher with an admission of its own, which minds no time; ``values`` are further settings."""
    patient = {"shedding": False, "wait_max_ms": 60_000, "batch_max": batch_max, "batches_away_max": away_max}
    settings = load_settings(**{**patient, **values})
    return Batcher(send, cells, Admission(cells, settings), batch_max=batch_max, away_max=away_max)


@dataclass
class Brand:
    """A brand on a real store."""

    settings: Settings
    store: Store
    keyring: Keyring
    token_keys: TokenKeys
    clock: Callable[[], float] = time.time

    async def apply(self, toml: str) -> None:
        await campaigns.apply(self.store, parse(toml), by="test")

    async def lot(
        self, size: int, *, campaign: str = "spring", active: bool = True, pin: bool = False
    ) -> int:
        no = await lots.register(
            self.store,
            by="test",
            kid=self.keyring.minting_kid,
            size=size,
            product=PRODUCT,
            campaign=campaign,
            pin=pin,
        )
        if active:
            await lots.activate(self.store, no, by="test", first=0, last=size - 1)
        return no

    def code(self, lot: int, serial: int) -> str:
        return to_text(self.keyring.table().seal(self.keyring.minting_kid, lot, serial))

    def codes(self, lot: int, serials: Sequence[int]) -> list[str]:
        table, kid = self.keyring.table(), self.keyring.minting_kid
        return [to_text(table.seal(kid, lot, serial)) for serial in serials]

    def token(self, member: str, **claims: str) -> str:
        return self.token_keys.issue(Member(member, **claims), now_s=int(self.clock()), ttl_s=3600)

    def service_token(self, name: str = "crm") -> str:
        return self.token(name, role="service")

    def scanner(self, **limits: object) -> "InProcess":
        return InProcess(self, **limits)

    async def audit(self, *, with_keys: bool = True) -> AuditReport:
        return await audit(self.store, self.keyring.table() if with_keys else None)


class InProcess:
    """One worker's endpoints, without HTTP and without its eye on the store."""

    def __init__(
        self,
        brand: Brand,
        *,
        batch_max: int = 256,
        away_max: int = 2,
        waiting_max: int = 10_000,
        **values: object,
    ) -> None:
        self.brand = brand
        self.directory = Directory(brand.store)
        self.cells = Cells(bytearray(ROW_BYTES), 0)
        self.throttle = Throttle(bytearray(THROTTLE_BYTES), bytes(32))
        self.batcher = batcher_for(
            ClaimFunction(brand.store).replies,
            self.cells,
            batch_max=batch_max,
            away_max=away_max,
            waiting_max=waiting_max,
            **values,
        )
        self.desks = Desks.of(
            brand.keyring,
            brand.token_keys,
            self.directory,
            self.batcher,
            brand.store,
            self.cells,
            self.throttle,
            read_timeout_s=brand.settings.store_timeout_ms / 1000,
            throttles=brand.settings.throttling,
            clock=brand.clock,
        )
        self._routes = self.desks.routes()
        self.scans: Scans | ScansByLane = self.desks.scans
        if brand.settings.fast_lane:
            self.scans = ScansByLane(
                self.desks.desk,
                self.desks.scans,
                self.desks.guard,
                self.batcher,
                self.cells,
                brand.settings,
            )
            self._routes["/v1/scans"] = {"POST": Route(self.scans.answer)}

    async def scan(self, member: str, code: str, **body: object) -> dict[str, object]:
        """The answer's body, with ``status``."""
        data = orjson.dumps({"code": code, **body})
        answer = await self.scans.answer(f"Bearer {self.brand.token(member)}", data)
        return {**orjson.loads(answer.body), "status": answer.status}

    async def send(
        self, path: str, token: str, body: object = None, *, parameter: str = "", trace: str = ""
    ) -> Answer:
        """What the route of a path, as the description writes it, answers; ``body`` is bytes or a value."""
        [(method, route)] = self._routes[path].items()
        authorization = f"Bearer {token}"
        answer = route.admit(authorization) if route.admit else None
        if answer is None:
            data = body if isinstance(body, bytes) else orjson.dumps(body)
            answer = await route.handler(authorization, data, trace, parameter)
        if answer.status != 200:
            assert answer.outcome in REFUSALS[method, path], f"{answer.outcome} is not described"
        return answer

    async def asked(
        self, path: str, token: str, body: object = None, *, parameter: str = "", trace: str = ""
    ) -> dict[str, object]:
        """The same, as its body with ``status``."""
        answer = await self.send(path, token, body, parameter=parameter, trace=trace)
        return {**orjson.loads(answer.body), "status": answer.status}

    async def draw(self, member: str, /, **body: object) -> dict[str, object]:
        """A member's own draw."""
        return await self.asked(DRAWS, self.brand.token(member), body)

    async def serve(self, path: str, /, **body: object) -> dict[str, object]:
        """What the brand's service is answered."""
        return await self.asked(path, self.brand.service_token(), body)

    async def open_share(self, friend: str, share: object, /, **body: object) -> dict[str, object]:
        return await self.asked(SHARES, self.brand.token(friend), body, parameter=str(share))

    async def look_up(self, member: str, code: str) -> dict[str, object]:
        return await self.asked(CODES, self.brand.token(member), parameter=code)


@asynccontextmanager
async def brand_in(data_dir: Path, **values: object):
    """A brand on the embedded store of the directory, with the keys it has there, or fresh ones."""
    settings = settings_for(data_dir, **values)
    create_missing_keys(settings)
    keyring = Keyring.parse(read_key_file(settings.keys_path))
    token_keys = TokenKeys.parse(read_key_file(settings.token_keys_path))
    async with opened(settings) as store:
        yield Brand(settings, store, keyring, token_keys)
