"""A brand and its model, its time, and what people do to it by hand."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from scanner.campaigns import day_at, from_canonical, standing
from scanner.errors import CampaignError, StoreRefusedError
from scanner.ledger import campaigns, lots, operations
from scanner.ledger.functions import Library
from scanner.ledger.model import Model
from scanner.ledger.records import member_digest
from tests.clock import KEY
from tests.engine.looking import same
from tests.engine.store import KEYS, Engine
from tests.engine.waits import Waits
from tests.lane import ScansByLane

File = dict[str, Any]


class LotOf(NamedTuple):
    """A lot as it begins; so many of its codes are active."""

    campaign: str
    product: str
    size: int
    pin: bool
    active: int
    seller: str


class Hands:
    """A brand that begins with these files and lots, numbered in their order."""

    def __init__(
        self, engine: Engine, library: Library, now: int, files: Sequence[File], lots_of: Sequence[LotOf]
    ) -> None:
        self.engine, self.run = engine, engine.run
        self.now = self.skew = 0
        # The half is there because whole milliseconds are not exact in seconds.
        self.brand = engine.brand(library, lambda: self.now, lambda: (self.now + self.skew + 0.5) / 1000)
        self.model = Model(engine.table, remember=True)
        self.worker = self.brand.scanner()
        if isinstance(self.worker.scans, ScansByLane):
            self.worker.scans.takes_turns = True
        self.waits = Waits()
        self.files: dict[str, File] = {}
        self._done: dict[str, object] = {}  # operations by their request id
        self._is_stale = True
        self.move(now)
        for file in files:
            self.apply(file)
        for place, lot in enumerate(lots_of):
            self._register(KEYS.keys[place % len(KEYS.keys)].kid, lot)

    def move(self, now: int) -> None:
        """Moves the time, and drops what the store would have dropped by then."""
        self.now = now
        keys = self.brand.store.keys
        over = [
            keys.counts(id, member)
            for id, campaign in self.model.campaigns.items()
            for member, counts in campaign.counts.items()
            if now > counts.expires_ms
        ]
        over += [
            keys.member_tries(member_digest(one)) if isinstance(one, str) else keys.code_tries(*one)
            for one in self.waits.forget(now)
        ]
        client = self.brand.store.client
        self.run(client.execute_command("SET", KEY, now))
        if over:
            self.run(client.execute_command("DEL", *over))

    def move_to(self, edge: str, campaign: str, off: int = 0) -> bool:
        """Moves to the next such moment, or so many ms behind it; False where there is none to come."""
        to = min((one for one in self._moments(edge, campaign) if one > self.now), default=0) + off
        if to > self.now:
            self.move(to)
        return to >= self.now

    def look(self) -> None:
        """The worker looks at the store."""
        if self._is_stale:
            self.run(self.worker.directory.refresh())
            self._is_stale = False

    def apply(self, file: File) -> bool:
        """Applies a file; False where it is refused."""
        read = from_canonical(orjson.dumps(file))
        id, known = read.campaign.id, self.model.campaigns
        try:
            changes = self.run(campaigns.apply(self.brand.store, read, by="test"))
        except CampaignError:
            return False
        self.files[id] = file
        if changes is None or changes.changed:
            no = known[id].plan.no if id in known else len(known) + 1
            self.model.apply(read, no=no, at_ms=self.now)
            self._is_stale = True
        return True

    def operate(self, what: tuple[Any, ...], request: str) -> None:
        """Does something, once under its request id."""
        if request in self._done:
            wanted = False if self._done[request] == what else None
        else:
            wanted = self._would_change(*what)
        try:
            got = self.run(self._call(*what, by="test", request=request))
        except StoreRefusedError:
            got = None
        same(got, wanted)
        if got is None:
            return
        if request:
            self._done[request] = what
        if got:
            name, *args = what
            getattr(self.model, name)(*args)
            self._is_stale = True

    def _moments(self, edge: str, id: str) -> list[int]:
        campaign = self.model.campaigns.get(id) or self.model.campaigns["c1"]
        plan = campaign.plan
        match edge:
            case "day":
                zone = self.files[plan.id]["campaign"]["timezone"]
                return [day_at(zone, self.now).until_ms]
            case "window":
                return [standing(plan, self.now).until_ms] if plan.timed else []
            case "packet":
                kept = [one for wallet in campaign.wallets.values() for one in wallet.packets.values()]
                return [packet.expires_ms for packets in kept for packet in packets.values()]
            case "share":
                shares = [share for share in self.model.shares.values() if share.campaign == plan.id]
                return [share.at_ms + plan.shared.open_for for share in shares]
            case "wait":
                return self.waits.all()
        return [plan.starts_ms if edge == "start" else plan.ends_ms]

    def _call(self, name: str, subject: Any, *args: Any, **said: str) -> Any:
        store = self.brand.store
        match name:
            case "top_up_budget":
                return operations.top_up_budget(store, subject, args[0] or None, args[1], **said)
            case "top_up" | "pause" | "resume":
                return getattr(operations, name)(store, subject, *args, **said)
            case "activate":
                return lots.activate(store, subject, first=args[0], last=args[1], **said)
            case "move":
                return lots.move(store, subject, campaign=args[0], **said)
            case "assign":
                return lots.assign(store, subject, seller=args[0], **said)
        return lots.block(store, subject, **said)

    def _would_change(self, name: str, subject: Any, *args: Any) -> bool | None:
        """Whether it changes something; None where it is refused."""
        if name in ("block", "assign", "activate", "move"):
            return self._would_change_lot(name, subject, *args)
        campaign = self.model.campaigns.get(subject)
        if campaign is None:
            return None
        plan = campaign.plan
        if name in ("pause", "resume"):
            return campaign.paused == (name == "resume")
        if name == "top_up_budget":
            whose = plan.by_id.get(args[0]) if args[0] else plan
            return None if whose is None or whose.budget is None else True
        pool = plan.by_id.get(args[0])
        prize = next((one for one in pool.prizes if one.id == args[1]), None) if pool else None
        if prize is None or prize.stock is None or prize.max:
            return None
        return None if not prize.award and pool.draw in ("deck", "locked", "shared") else True

    def _would_change_lot(self, name: str, no: int, *args: Any) -> bool | None:
        lot = self.model.lots[no]
        match name:
            case "block":
                return not lot.blocked
            case "assign":
                return lot.seller != args[0]
            case "move":
                return lot.campaign != args[0] if args[0] in self.model.campaigns else None
        if lot.blocked or not args[0] <= args[1] < lot.size:
            return None
        return not all(lot.is_active(serial) for serial in range(args[0], args[1] + 1))

    def _register(self, kid: int, lot: LotOf) -> None:
        store, said = self.brand.store, lot._asdict()
        active, seller = said.pop("active"), said.pop("seller")
        no = self.run(lots.register(store, by="test", kid=kid, **said))
        self.model.register(no, kid=kid, **said)
        self.operate(("activate", no, 0, active - 1), "")
        self.operate(("assign", no, seller), "")
