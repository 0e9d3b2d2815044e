"""What a fault test stands on: a store that may die, a service with real workers and real HTTP, a proxy
between the two where one is wanted, phones under way, and the notebook that all is held against in the end.

    with seeded(chapter) as dice:
        async with rig(tmp_path / "a", dice) as on, on.crowd() as crowd:
            await crowd.more(100)
            await on.store.kill()
            await on.store.start()
            await crowd.stop()
            assert (await on.judged()).all == []

A control breaks one thing by ``plants`` (texts of the store's functions, replaced under the same name, so
that the workers call the broken ones), or puts an ``InProcess`` of its own in the place of the workers.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import orjson
from pydantic import SecretStr

from scanner.ledger.functions import library
from scanner.service.batcher import Send
from tests.brand import POINTS, Brand, brand_in, campaign_toml
from tests.faults.books import (
    Findings,
    Left,
    audit_says,
    judge_answers,
    judge_books,
    read_books,
    read_left,
)
from tests.faults.crowd import AGAIN_AFTER_S, Caller, Crowd, PatientPhone, ask
from tests.faults.notebook import Errand, Notebook
from tests.faults.proxy import Chances, Proxy
from tests.faults.store import DoomedStore, doomed_store
from tests.phone import Reply
from tests.running import Running, serving

MEMBERS = 50
RESOLVED_AFTER_TRIES = 500
PATIENCE_MS = 30_000
PHONES = 24
STOLEN = 15
"""Of a hundred codes, those that two members scan at the same time."""


def prizes_toml(pieces: int, money: str, *, odds: str = "0.5") -> str:
    """Points for everybody; a deck of so many; as many lucky amounts, that add up to the money; and 0.88 for
    everybody for as long as a budget of 100.00 lasts."""
    return f"""{POINTS}
[[pool]]
id = "deck"
draw = "deck"
[[pool.prize]]
id = "p"
kind = "points"
amount = 1
stock = {pieces}
[[pool]]
id = "lucky"
draw = "odds"
budget = "{money}"
[[pool.prize]]
id = "packet"
kind = "cash"
amount = {{ min = "0.01", max = "20.00", total = "{money}" }}
odds = "{odds}"
stock = {pieces}
[[pool]]
id = "cash"
draw = "every"
budget = "100.00"
[[pool.prize]]
id = "small"
kind = "cash"
amount = "0.88"
"""


PRIZES = prizes_toml(500, "1234.56")


@dataclass
class Rig:
    """``brand`` reaches the store straight, the service (``run``) through ``proxy`` where there is one."""

    brand: Brand
    run: Running
    store: DoomedStore
    proxy: Proxy | None
    notebook: Notebook
    dice: Random
    left_before: Left
    codes: Iterator[str]
    acknowledged: int = 0
    """Errands that were answered with 200, known once it was ``judged``."""

    def __post_init__(self) -> None:
        self._tokens = {name: self.brand.token(name) for name in (f"m{n}" for n in range(MEMBERS))}

    def crowd(
        self,
        *,
        codes: Iterator[str] | None = None,
        phones: int = PHONES,
        caller: Callable[[], Caller] | None = None,
        left_for_later: int = 20,
        stolen: int = STOLEN,
    ) -> Crowd:
        """Phones that begin when the block does. Without codes they scan those of the rig's own lot."""
        return Crowd(
            self._errands(codes or self.codes, stolen),
            self.notebook,
            caller or self.phone,
            self.token,
            self.dice,
            phones=phones,
            left_for_later=left_for_later,
        )

    def phone(self) -> PatientPhone:
        return PatientPhone(self.run.port)

    def token(self, member: str) -> str:
        return self._tokens[member]

    def _errands(self, codes: Iterator[str], stolen: int) -> Iterator[Errand]:
        members = list(self._tokens)
        for code in codes:
            yield Errand(code, self.dice.choice(members))
            if self.dice.randrange(100) < stolen:
                yield Errand(code, self.dice.choice(members))

    async def judged(self, caller: Callable[[], Caller] | None = None, *, resolves: bool = True) -> Findings:
        """Everything the sheet asks, with the store up and the crowd at rest.

        First the store's books for themselves: an unknown is there whole, or not at all. Then each unknown is
        asked again, twice, and must come to one result. Then the books once more, with the notebook, and the
        audit.
        """
        findings = Findings()
        judge_books(await read_books(self.brand), self.left_before, findings)
        if resolves:  # a control's service may have shut its doors
            await self._resolve((caller or self.phone)(), findings)
        books = await read_books(self.brand)
        judge_books(books, self.left_before, findings)
        said = await self.notebook.read()
        judge_answers(self.brand, said, books, findings)
        findings.audit += await audit_says(self.brand)
        self.acknowledged = sum(any(one.status == 200 for one in outcomes) for outcomes in said.values())
        return findings

    async def _resolve(self, caller: Caller, findings: Findings) -> None:
        for errand, outcomes in (await self.notebook.read()).items():
            if not any(outcome.is_known for outcome in outcomes):
                for _ in range(2):
                    if not await self._answered(caller, errand):
                        findings.unresolved.append(f"{errand} has no answer")
        caller.hang_up()

    async def _answered(self, caller: Caller, errand: Errand) -> bool:
        for _ in range(RESOLVED_AFTER_TRIES):
            if await ask(errand, self.notebook, caller, self.token):
                return True
            await asyncio.sleep(AGAIN_AFTER_S)
        return False


@asynccontextmanager
async def rig(
    directory: Path,
    dice: Random,
    *,
    pools: str = PRIZES,
    codes: int = 100_000,
    workers: int = 2,
    chances: Chances | None = None,
    plants: Sequence[tuple[str, str]] = (),
    store_timeout_ms: int = 700,
    **settings: object,
) -> AsyncIterator[Rig]:
    """``codes`` is how many there are, not how many are scanned; ``chances`` puts the proxy between.

    ``store_timeout_ms`` is the service's; whoever judges is patient.
    """
    directory.mkdir(exist_ok=True)  # noqa: ASYNC240 (a test's own)
    async with AsyncExitStack() as stack:
        notebook = await stack.enter_async_context(Notebook(directory / "notebook"))
        store = await stack.enter_async_context(doomed_store(directory / "store"))
        brand = await stack.enter_async_context(
            brand_in(
                directory / "data",
                store_url=store.url,
                workers=workers,
                store_timeout_ms=PATIENCE_MS,
                **settings,
            )
        )
        if plants:
            await plant(brand, plants)
        await brand.apply(campaign_toml(pools=pools))
        lot = await brand.lot(codes)
        proxy, address = None, store.url
        if chances is not None:
            proxy = await stack.enter_async_context(Proxy(store.socket, dice=dice))
            address = proxy.url
        own = brand.settings.model_copy(
            update={"store_url": SecretStr(address), "store_timeout_ms": store_timeout_ms}
        )
        run = await stack.enter_async_context(serving(replace(brand, settings=own)))
        if proxy is not None and chances is not None:
            proxy.chances = chances  # not before the service stands
        own_codes = (brand.code(lot, serial) for serial in range(codes))
        yield Rig(brand, run, store, proxy, notebook, dice, await read_left(brand), own_codes)


class InProcess:
    """A service without HTTP and workers, for a control that sends its batches in a way of its own."""

    def __init__(self, brand: Brand, send: Send) -> None:
        self._scanner = brand.scanner()
        self._scanner.batcher._send = send

    def __call__(self) -> Caller:
        return self

    async def ask(self, token: str, code: str) -> Reply | None:
        body = orjson.dumps({"code": code})
        answer = await self._scanner.scans.answer(f"Bearer {token}", body)
        return Reply(answer.status, {}, answer.body)

    def hang_up(self) -> None:
        """There is no connection."""


async def plant(brand: Brand, plants: Sequence[tuple[str, str]]) -> None:
    """Replaces texts of the store's functions, each of which stands there once, under their own names."""
    code = library().code
    for old, new in plants:
        assert code.count(old) == 1, f"it stands there {code.count(old)} times: {old}"
        code = code.replace(old, new)
    await brand.store.client.execute_command("FUNCTION", "LOAD", "REPLACE", code)
