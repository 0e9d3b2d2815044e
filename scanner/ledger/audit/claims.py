"""Claims as entries of the stream: each is told to the model, and held against what the model says."""

from collections.abc import Mapping
from typing import NamedTuple

from scanner.errors import ScannerError
from scanner.ledger.audit.said import GIVERS, names, read_said, unlike
from scanner.ledger.keys import BUCKET_SERIALS, Keys
from scanner.ledger.model import Model
from scanner.ledger.model.facts import DrawFacts, Drawn, FriendFacts, GrantFacts, Prizes, Result, ScanFacts
from scanner.ledger.model.state import CampaignState
from scanner.ledger.records import REQUEST_BYTES, Record, digest, member_digest

Fields = Mapping[str, str]

_PERSON = ("role", "tier", "channel", "seller", "inviter", "loc", "trace")
_REQUEST = ("campaign", "pool", "member", "by", "request")


class ReplayError(ScannerError):
    """An entry cannot be what the functions wrote; the message says why."""


class Left(NamedTuple):
    """What a claim leaves in a hash of the store for ever; `name` is what it is about, for people."""

    key: str
    field: bytes
    name: str
    value: Record | bytes


class Judged(NamedTuple):
    """What an entry should not have said, and what it must have left."""

    wrong: list[str]
    left: list[Left]


class Claims:
    """Judges entries of claims. Raises whatever an entry that cannot be read leads to."""

    def __init__(self, model: Model, keys: Keys) -> None:
        self._model, self._keys = model, keys

    def scan(self, fields: Fields) -> Judged:
        no, serial, at_ms = int(fields["lot"]), int(fields["serial"]), int(fields["at"])
        lot, campaign = self._model.known_lot(no), self._model.known_campaign(fields["campaign"])
        role, tier, channel, seller, inviter, loc, trace = (fields.get(name, "") for name in _PERSON)
        facts = ScanFacts(
            no,
            serial,
            fields["member"],
            role,
            tier,
            channel,
            seller,
            inviter,
            loc,
            trace,
            campaign=fields["campaign"],
            id=fields["id"],
        )
        said, wrong = read_said(campaign, fields)
        result = self._model.scan(facts, at_ms, said)
        wrong += _wrong(result, campaign, fields)
        if lot.product != fields["product"]:
            wrong.append(f"the lot's product is {lot.product}")
        if seller != (seller or lot.seller):
            wrong.append(f"the lot's seller is {lot.seller}")
        if names(fields, "unlocked") != result.unlocked:
            wrong.append(f"the grants {result.unlocked} were to be unlocked")
        if fields.get("share", "") != result.shared:
            wrong.append(f"a packet was to be opened for friends in {result.shared or 'no pool'}")
        bucket, slot = divmod(serial, BUCKET_SERIALS)
        left = [
            Left(self._keys.claims(no, bucket), b"%d" % slot, f"lot {no}, serial {serial}", _record(result))
        ]
        if result.shared:
            key, name = self._keys.share(result.id), f"share {result.id}"
            left.append(Left(key, b"giver", name, facts.member.encode()))
            left.append(Left(key, b"at", name, b"%d" % at_ms))
        return Judged(wrong, left)

    def draw(self, fields: Fields) -> Judged:
        campaign = self._campaign(fields)
        campaign_id, pool, member, by, request = (fields[name] for name in _REQUEST)
        role, tier, channel, paid = (fields.get(name, "") for name in ("role", "tier", "channel", "paid"))
        kid = int(fields["kid"])
        facts = DrawFacts(campaign_id, pool, member, by, request, kid, role, tier, channel, paid)
        said, wrong = read_said(campaign, fields, pool=pool)
        result = self._model.draw(facts, int(fields["at"]), said)
        wrong += _wrong(result, campaign, fields)
        return Judged(wrong, [self._of_request("draw", fields, result)])

    def grant(self, fields: Fields) -> Judged:
        campaign = self._campaign(fields)
        campaign_id, pool, member, by, request = (fields[name] for name in _REQUEST)
        facts = GrantFacts(campaign_id, pool, member, by, request, int(fields["kid"]))
        said, wrong = read_said(campaign, fields, pool=pool)
        result = self._model.grant(facts, int(fields["at"]), said)
        wrong += _wrong(result, campaign, fields)
        if int(fields["expires"]) != result.expires_ms:
            wrong.append(f"the packet expires at {result.expires_ms}")
        return Judged(wrong, [self._of_request("grant", fields, result)])

    def expired(self, fields: Fields) -> Judged:
        campaign = self._campaign(fields)
        pool, grant, member = fields["pool"], fields["id"], fields["member"]
        result = self._model.expire(fields["campaign"], pool, grant, member, int(fields["at"]))
        if result.verdict == "unknown":
            raise ReplayError(f"{member} has no packet {grant} in pool {pool}")
        if result.verdict == "not_due":
            raise ReplayError(f"the packet {grant} has not expired yet")
        won = result.prizes.won[0]
        prize = campaign.plan.prizes[won.pool, won.prize]
        if (fields["prize"], int(fields.get("amount", "0"))) != (prize.id, won.amount):
            return Judged([f"what goes back is {Drawn(prize, won.amount)}"], [])
        return Judged([], [])

    def friend(self, fields: Fields) -> Judged:
        campaign = self._campaign(fields)
        share_id, member = fields["share"], fields["member"]
        role, tier, channel, trace = (fields.get(name, "") for name in ("role", "tier", "channel", "trace"))
        said, wrong = read_said(campaign, fields, pool=fields["pool"])
        said.giver, wrong_of_giver = read_said(campaign, fields, pool=fields["pool"], prefix=GIVERS)
        facts = FriendFacts(share_id, member, role, tier, channel, trace)
        result = self._model.friend(facts, int(fields["at"]), said)
        wrong += wrong_of_giver + _wrong(result, campaign, fields)
        wrong += unlike(result.giver or Prizes(), fields, GIVERS)
        share = self._model.shares[share_id]
        about = {
            "campaign": share.campaign,
            "pool": share.pool,
            "lot": share.lot,
            "serial": share.serial,
            "giver": share.giver,
            "kid": self._model.lots[share.lot].kid,
            "slot": result.slot,
        }
        wrong += [f"the packet's {name} is {due}" for name, due in about.items() if fields[name] != str(due)]
        name = f"share {share_id}, friend {member}"
        return Judged(wrong, [Left(self._keys.share(share_id), member_digest(member), name, _record(result))])

    def _campaign(self, fields: Fields) -> CampaignState:
        campaign = self._model.known_campaign(fields["campaign"])
        if fields["pool"] not in campaign.plan.by_id:
            raise ReplayError(f"there is no pool {fields['pool']}")
        return campaign

    def _of_request(self, kind: str, fields: Fields, result: Result) -> Left:
        request = digest(kind, fields["by"], fields["request"])
        key, name = self._keys.requests(request), f"{kind} {result.id}"
        return Left(key, request[:REQUEST_BYTES], name, _record(result))


def _wrong(result: Result, campaign: CampaignState, fields: Fields) -> list[str]:
    """What any claim's entry should not have said."""
    wrong = result.wrong + unlike(result.prizes, fields)
    if campaign.plan.version != fields["rules"]:
        wrong.append(f"the rules in force were {campaign.plan.version}")
    if fields["type"] != "scan.accepted" and fields["id"] != result.id:
        wrong.append(f"its id is {result.id}")
    return wrong


def _record(result: Result) -> Record:
    assert result.record is not None, "what an entry says was accepted leaves a record"
    return result.record
