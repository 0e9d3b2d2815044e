"""A brand that is played: each claim is told to the model first, then sent through the service's own
endpoints, and the answer must be the one that the model gave."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import orjson

from scanner.codes import CodeId, Share, to_pin, to_text
from scanner.identity import Member
from scanner.ledger.claims import Verdict
from scanner.ledger.frames import Expiry
from scanner.ledger.model.facts import DrawFacts, FriendFacts, GrantFacts, Result, ScanFacts
from scanner.ledger.packets import sweep
from scanner.ledger.records import member_digest
from scanner.service.answers import timestamp
from scanner.service.problems import Answer
from tests.brand import BATCH, DRAWS, GRANTS, SCANS, SHARES
from tests.engine.actions import PERSONS, Action, Draw, Expire, Friend, Grant, Person, Scan, Until
from tests.engine.hands import Hands
from tests.engine.looking import check_all, check_answer, check_wait, foretold, lists, same
from tests.engine.store import KEYS, SHARE_KEYS

SHOP = Member("shop", "service")
Check = Callable[[Any], None]


class Sent(NamedTuple):
    """A claim that was told to the model: its call of the service, and what looks at the answer."""

    call: Awaitable[Any]
    check: Check


class Told(NamedTuple):
    """A scan that was told to the model, as it is to be sent."""

    member: Member
    body: dict[str, Any]
    check: Check


class World(Hands):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.shares: list[tuple[str, str]] = []  # scan_id and token, the newest first
        self.packets: list[tuple[str, str, str, str]] = []  # campaign, pool, grant, member, the newest first
        self.entries: list[dict[str, Any]] = []
        self._send = {
            Scan: self._scan,
            Draw: self._draw,
            Grant: self._grant,
            Friend: self._friend,
            Expire: self._expire,
        }

    def play(self, actions: Sequence[Action]) -> None:
        """Actions that arrive together, and so are judged in one call of the store, in their order."""
        skew = self.skew
        if len(actions) > 1:
            self._prepare_for_many()
        sent = [self._send[type(action)](action) for action in actions]

        async def all_of_them() -> list[Any]:
            return await asyncio.gather(*(one.call for one in sent))

        answers = self.run(all_of_them())
        self.skew = skew
        for action, one, answer in zip(actions, sent, answers, strict=True):
            _check(action, one.check, answer)

    def play_each(self, actions: Sequence[Action]) -> None:
        """Actions one after another, at one moment."""
        for action in actions:
            self.play([action])

    def play_batch(self, scans: Sequence[Scan]) -> None:
        """Scans that a service brings."""
        skew = self.skew
        self._prepare_for_many()
        told = [self._tell_scan(scan, trace="") for scan in scans]
        bodies = [
            {**body, "member": member.id, **_named(member, "role", "tier", "seller", "inviter")}
            for member, body, _ in told
        ]
        answer = self.run(self.worker.send(BATCH, self.engine.token(SHOP), {"scans": bodies}))
        self.skew = skew
        results = orjson.loads(answer.body)["results"]
        for scan, one, result in zip(scans, told, results, strict=True):
            _check(scan, one.check, Answer(result["outcome"], result.pop("status"), orjson.dumps(result)))

    def sweep(self) -> None:
        """All packets whose time is over go back."""
        self.look()
        due = [
            (packet.expires_ms, id, campaign.plan.by_no[no].id, grant, packet.member)
            for id, campaign in self.model.campaigns.items()
            for wallet in campaign.wallets.values()
            for no, packets in wallet.packets.items()
            for grant, packet in packets.items()
            if packet.expires_ms <= self.now
        ]
        for _, *packet in sorted(due):
            same(self._tell_expired(*packet).verdict, "expired")
        same(self.run(sweep(self.brand.store, self.worker.directory.campaigns)), len(due))

    def until(self, until: Until) -> None:
        if not self.move_to(until.edge, until.campaign, until.off):
            self.move(self.now + 1)
        self.play_each(until.then)

    def close(self) -> None:
        check_all(self)

    def chances(self, campaign: str, pool: str, member: str) -> int:
        known = self.model.campaigns[campaign]
        wallet = known.wallets.get(member_digest(member))
        return wallet.chances.get(known.plan.by_id[pool].no, 0) if wallet and pool in known.plan.by_id else 0

    def can_be(self, claim: Action) -> bool:
        """Whether there is what is asked for: a pool, a packet."""
        match claim:
            case Friend():
                return claim.share < len(self.shares)
            case Draw() | Grant():
                campaign = self.model.campaigns.get(claim.campaign)
                return campaign is not None and claim.pool in campaign.plan.by_id
        return True

    def _prepare_for_many(self) -> None:
        # Else some would be judged anew, and come behind others.
        self.skew = 0
        self.look()

    def _scan(self, scan: Scan) -> Sent:
        trace = PERSONS[scan.person].trace
        wait_ms = []
        member, body, check = self._tell_scan(scan, trace, wait_ms)

        def check_both(answer: Answer) -> None:
            check(answer)
            if wait_ms and not self.skew:
                check_wait(*wait_ms, answer)

        return Sent(self.worker.send(SCANS, self.engine.token(member), body, trace=trace), check_both)

    def _tell_scan(self, scan: Scan, trace: str, wait_ms: list[int] | None = None) -> Told:
        """`wait_ms` takes how long a wrong PIN makes wait."""
        person, lot = PERSONS[scan.person], self.model.lots[scan.lot]
        code = CodeId(lot.kid, scan.lot, scan.serial)
        pin = None
        if lot.pin and scan.pin != "none":
            pin = to_pin((self.engine.table.pin(*code) + (scan.pin == "wrong")) % 1_000_000)
        said = person._asdict() | {"trace": trace}
        result = self._judge_scan(scan, code, pin, said)
        if wait_ms is not None and result.verdict in ("throttled", "pin_wrong"):
            wait_ms.append(max(0, self.waits.until(code[1:], scan.member) - self.now))
        more = {"product": lot.product}
        if result.shared:
            plan = self.model.campaigns[result.campaign].plan
            more["share"] = SHARE_KEYS.seal(Share(code, plan.no, plan.by_id[result.shared].no, result.at_ms))
        if result.verdict == "accepted":
            if result.shared:
                self.shares.insert(0, (result.id, more["share"]))
            said |= {"product": lot.product, "seller": person.seller or lot.seller, "member": scan.member}
            said |= {"share": result.shared, "unlocked": result.unlocked}
            self._foretell("scan.accepted", result, lot=scan.lot, serial=scan.serial, **said)
        body: dict[str, Any] = {"code": to_text(self.engine.table.seal(*code)), **_named(person, "channel")}
        body |= {"pin": pin} if pin else {}
        body |= {"location": json.loads(person.loc)} if person.loc else {}
        check = _checks(result, ("accepted", "scan_id", "scanned_at"), more)
        return Told(_member(scan.member, person), body, check)

    def _judge_scan(self, scan: Scan, code: CodeId, pin: str | None, said: dict[str, str]) -> Result:
        whose, lot = (code[1:], scan.member), self.model.lots[scan.lot]
        must_wait = lot.pin and self.now < self.waits.until(*whose)
        match self.model.door(*code, pin=pin):
            case "":
                facts = ScanFacts(scan.lot, scan.serial, scan.member, **said, must_wait=must_wait)
                result = self.model.scan(facts, self.now)
                if lot.pin and result.verdict == "accepted":
                    self.waits.forgive(scan.member, self.now)
                return result
            case "pin_wrong" if must_wait:
                return Result("throttled")
            case "pin_wrong":
                self.waits.wrong(*whose, self.now)
                return Result("pin_wrong")
            case refused:
                return Result(refused)

    def _draw(self, draw: Draw) -> Sent:
        person, campaign = PERSONS[draw.person], self.model.campaigns.get(draw.campaign)
        pool = campaign.plan.by_id.get(draw.pool) if campaign else None
        sender = Member(draw.by, "service") if draw.by else _member(draw.member, person)
        body: dict[str, Any] = {"campaign": draw.campaign, "pool": draw.pool, "request_id": draw.request}
        body |= _named(person, "channel")
        paid = ""
        if draw.by:
            body |= {"member": draw.member, **_named(person, "role", "tier")}
            if draw.paid:
                price = pool.price if pool and pool.price else 7
                body["paid"] = {"points": price + (draw.paid == "wrong")}
                paid = orjson.dumps(body["paid"]).decode()
        asked = (draw.campaign, draw.pool, draw.member, sender.id, draw.request, KEYS.minting_kid)
        facts = DrawFacts(*asked, person.role, person.tier, person.channel, paid)
        result = self.model.draw(facts, self.now)
        self._foretell("draw.made", result, **facts._asdict(), trace=person.trace)
        call = self.worker.send(DRAWS, self.engine.token(sender), body, trace=person.trace)
        return Sent(call, _checks(result, ("accepted", "draw_id", "drawn_at"), {"pool": draw.pool}))

    def _grant(self, grant: Grant) -> Sent:
        asked = (grant.campaign, grant.pool, grant.member, SHOP.id, grant.request)
        facts = GrantFacts(*asked, KEYS.minting_kid)
        result = self.model.grant(facts, self.now)
        if result.verdict == "accepted":
            self.packets.insert(0, (grant.campaign, grant.pool, result.id, grant.member))
        self._foretell("grant.made", result, **facts._asdict(), expires=result.expires_ms)
        body = {"request_id": grant.request, "campaign": grant.campaign, "pool": grant.pool}
        call = self.worker.send(GRANTS, self.engine.token(SHOP), {**body, "member": grant.member})
        more = {"pool": grant.pool, "member": grant.member, "expires_at": timestamp(result.expires_ms)}
        return Sent(call, _checks(result, ("granted", "grant_id", "granted_at"), more))

    def _friend(self, friend: Friend) -> Sent:
        person = PERSONS[friend.person]
        scan_id, token = self.shares[friend.share] if friend.share < len(self.shares) else ("none", "A" * 44)
        facts = FriendFacts(scan_id, friend.member, person.role, person.tier, person.channel, person.trace)
        result = self.model.friend(facts, self.now)
        more: dict[str, Any] = {}
        if share := self.model.shares.get(scan_id):
            more = {"pool": share.pool}
            said = {"lot": share.lot, "serial": share.serial, "kid": self.model.lots[share.lot].kid}
            said |= {"giver": share.giver, "slot": result.slot}
            if result.giver:
                said |= {f"giver_{name}": value for name, value in lists(result.giver).items()}
            self._foretell("share.claimed", result, **facts._asdict(), **more, **said)
        if result.verdict == "campaign_over":
            result = replace(result, verdict="share_over")
        token_of = self.engine.token(_member(friend.member, person))
        body = _named(person, "channel")
        call = self.worker.send(SHARES, token_of, body, parameter=token, trace=person.trace)
        return Sent(call, _checks(result, ("accepted", "claim_id", "opened_at"), more))

    def _expire(self, expire: Expire) -> Sent:
        """As the sweep does it."""
        campaign, pool, grant, member = self.packets[expire.packet % len(self.packets)]
        result = self._tell_expired(campaign, pool, grant, member)
        name = f"{campaign}/{pool}/{grant}/{member_digest(member).hex()}"
        expiry = Expiry(self.worker.directory.campaigns[campaign].plan, name)

        async def call() -> Any:
            return await self.worker.batcher.submit(expiry)

        wanted = Verdict.OTHER_TIME if result.verdict == "not_due" else Verdict.DONE
        return Sent(call(), lambda answer: same(answer.verdict, wanted))

    def _tell_expired(self, campaign: str, pool: str, grant: str, member: str) -> Result:
        result = self.model.expire(campaign, pool, grant, member, self.now)
        if result.verdict == "expired":
            won = result.prizes.won[0]
            prize = self.model.campaigns[campaign].plan.prizes[won.pool, won.prize].id
            said = {"pool": pool, "member": member, "prize": prize, "amount": won.amount}
            self.entries.append(foretold("grant.expired", self.now, grant, campaign, **said))
        return result

    def _foretell(self, type: str, result: Result, **said: Any) -> None:
        """What will stand in the ledger."""
        if result.verdict == "accepted":
            said |= {"rules": self.model.campaigns[result.campaign].plan.version, **lists(result.prizes)}
            said["campaign"] = result.campaign
            self.entries.append(foretold(type, result.at_ms, result.id, **said))


def _check(action: Action, check: Check, answer: Any) -> None:
    try:
        check(answer)
    except AssertionError as error:
        raise AssertionError(f"{action!r}: {error}") from None


def _checks(result: Result, names: tuple[str, str, str], more: dict[str, Any]) -> Check:
    return lambda answer: check_answer(result, names, more, answer)


def _member(id: str, person: Person) -> Member:
    return Member(id, person.role, person.tier, person.seller, person.inviter)


def _named(record: Any, *names: str) -> dict[str, str]:
    """Those of its values that are there."""
    return {name: getattr(record, name) for name in names if getattr(record, name)}
