"""The model's claims that are no scans: draws, grants, friends' claims of shared packets, expiries."""

from collections.abc import Iterator
from dataclasses import replace

from scanner.campaigns import Facts, PlanPool, may_draw
from scanner.campaigns.plan import compact
from scanner.ledger.model.draws import Drawing, is_refused, not_running
from scanner.ledger.model.facts import Against, DrawFacts, FriendFacts, GrantFacts, Prizes, Result, Said
from scanner.ledger.model.limits import Limits
from scanner.ledger.model.pools import ModelError, put_back, take
from scanner.ledger.model.state import CampaignState, Packet, Share, Wallet
from scanner.ledger.records import (
    REQUEST_BYTES,
    Record,
    Won,
    details_digest,
    digest,
    member_digest,
    public_id,
)

PACKETS_MAX = 100


class Requests(Drawing):
    """Claims by request."""

    def draw(self, facts: DrawFacts, at_ms: int, said: Said | None = None) -> Result:
        """A draw by request at a moment, ms since 1970. ModelError: no such pool in an entry."""
        request = digest("draw", facts.by, facts.request)
        details = details_digest("draw", facts.campaign, facts.pool, facts.member, facts.paid)
        result = Result(at_ms=at_ms, id=public_id(request), campaign=facts.campaign)
        found = self._pool(facts.campaign, facts.pool)
        if found is None or not found[1].by_draw:
            return _unknown_pool(result, facts.campaign, facts.pool, said)
        campaign, pool = found
        if (repeated := self._repeated(request, details, result, said)) is not None:
            return repeated
        member = member_digest(facts.member)
        limits = Limits(campaign, member, at_ms)
        against = _against_draw(campaign, pool, facts, limits, at_ms)
        if is_refused(result, against, said):
            return result
        numbers = self._request_pair(facts.kid, digest("draw", facts.by, facts.request, pool.id))
        drawn = self._turn(result, campaign, pool, numbers, said)
        if not facts.paid:
            _use_chance(campaign, member, pool.no)
        self._award(campaign, pool, drawn, at_ms, prizes=result.prizes, member=member)
        limits.count([pool.no])
        campaign.tally.draws += 1
        campaign.tally.paid_draws += bool(facts.paid)
        return self._done(request, result, campaign, member, details)

    def grant(self, facts: GrantFacts, at_ms: int, said: Said | None = None) -> Result:
        """A packet granted at a moment, ms since 1970. ModelError: no such pool in an entry."""
        request = digest("grant", facts.by, facts.request)
        details = details_digest("grant", facts.campaign, facts.pool, facts.member)
        result = Result(at_ms=at_ms, id=public_id(request), campaign=facts.campaign)
        found = self._pool(facts.campaign, facts.pool)
        if found is None or found[1].draw != "locked":
            return _unknown_pool(result, facts.campaign, facts.pool, said)
        campaign, pool = found
        if (repeated := self._repeated(request, details, result, said)) is not None:
            return repeated
        member = member_digest(facts.member)
        if is_refused(result, _against_grant(campaign, member, at_ms), said):
            return result
        numbers = self._request_pair(facts.kid, digest("grant", facts.by, facts.request, pool.id))
        drawn = self._turn(result, campaign, pool, numbers, said)
        prize = drawn.prize
        if prize is None or drawn.withheld or not prize.award:
            if said is not None:
                raise ModelError(f"pool {pool.id}: a packet of {drawn} was granted")
            result.verdict = "sold_out"
            return result
        take(campaign, pool, drawn, locked=True)
        result.prizes.add(pool, drawn)
        result.expires_ms = at_ms + pool.expires_after
        wallet = campaign.wallets.setdefault(member, Wallet())
        packet = Packet(at_ms, result.expires_ms, prize.no, drawn.amount, facts.member)
        wallet.packets.setdefault(pool.no, {})[result.id] = packet
        campaign.tally.packets_granted += 1
        return self._done(request, result, campaign, member, details)

    def expire(self, campaign_id: str, pool_id: str, grant: str, member_id: str, at_ms: int) -> Result:
        """A packet's time is over at a moment, ms since 1970, and what is in it (`prizes.won`) goes back."""
        result = Result("expired", at_ms, id=grant, campaign=campaign_id)
        found, member = self._pool(campaign_id, pool_id), member_digest(member_id)
        wallet = found[0].wallets.get(member) if found else None
        packet = wallet.packets.get(found[1].no, {}).get(grant) if wallet and found else None
        if found is None or wallet is None or packet is None or packet.member != member_id:
            result.verdict = "unknown"
            return result
        if at_ms < packet.expires_ms:
            result.verdict = "not_due"
            return result
        campaign, pool = found
        prize = campaign.plan.prizes[pool.no, packet.prize]
        put_back(campaign, pool, prize, packet.amount)
        forget_packet(campaign, member, pool.no, grant)
        campaign.tally.packets_expired += 1
        result.prizes.won.append(Won(pool.no, packet.prize, packet.amount))
        return result

    def friend(self, facts: FriendFacts, at_ms: int, said: Said | None = None) -> Result:
        """A friend opens a shared packet at a moment, ms since 1970. ModelError: none such in an entry."""
        share = self.shares.get(facts.share)
        if share is None:
            if said is not None:
                raise ModelError(f"no packet of the scan {facts.share} was opened for friends")
            return Result("unknown_share", at_ms)
        campaign = self.campaigns[share.campaign]
        pool = campaign.plan.by_id[share.pool]
        key, friend = digest("share", facts.share, facts.member), member_digest(facts.member)
        result = Result(at_ms=at_ms, id=public_id(key), campaign=share.campaign)
        if friend in share.friends:
            if said is None:
                return replace(self._remembered((facts.share, friend)), verdict="replayed")
            result.wrong.append(f"{facts.member} has opened this packet before")
        limits = Limits(campaign, friend, at_ms)
        if is_refused(result, _against_friend(campaign, pool, share, facts.member, limits, at_ms), said):
            return result
        kid = self.lots[share.lot].kid
        numbers = self._request_pair(kid, digest("share", facts.share, facts.member, pool.id))
        drawn = self._turn(result, campaign, pool, numbers, said)
        self._award(campaign, pool, drawn, at_ms, prizes=result.prizes, member=friend)
        limits.count([pool.no])
        share.friends.add(friend)
        result.slot = len(share.friends)
        if result.slot == {"first": 1, "last": pool.slots}.get(pool.giver):
            self._giver(result, campaign, pool, facts.share, said)
        campaign.tally.shares_claimed += 1
        details = details_digest(facts.role, facts.tier, facts.channel, "", "", "", facts.trace)
        givers = tuple(result.giver.won) if result.giver else ()
        result.record = Record(
            at_ms, campaign.plan.no, friend, details, tuple(result.prizes.won), givers=givers
        )
        self._remember((facts.share, friend), result)
        return result

    def _giver(
        self, result: Result, campaign: CampaignState, pool: PlanPool, scan_id: str, said: Said | None
    ) -> None:
        """The giver's turn, after the friend's, from the same pool."""
        share = self.shares[scan_id]
        numbers = self._request_pair(self.lots[share.lot].kid, digest("giver", scan_id, pool.id))
        drawn = self._turn(result, campaign, pool, numbers, (said.giver or Said()) if said else None)
        result.giver = Prizes()
        member = member_digest(share.giver)
        self._award(campaign, pool, drawn, result.at_ms, prizes=result.giver, member=member, giver=True)
        campaign.tally.givers_drew += 1

    def _pool(self, campaign_id: str, pool_id: str) -> tuple[CampaignState, PlanPool] | None:
        campaign = self.campaigns.get(campaign_id)
        pool = campaign.plan.by_id.get(pool_id) if campaign else None
        return None if campaign is None or pool is None else (campaign, pool)

    def _repeated(self, request: bytes, details: bytes, result: Result, said: Said | None) -> Result | None:
        """The result of a request id that was used before."""
        before = self.requests.get(request[:REQUEST_BYTES])
        if before is None:
            return None
        if said is not None:
            result.wrong.append(f"the request {result.id} was used before")
            return None
        if before != details:
            result.verdict = "request_reused"
            return result
        return replace(self._remembered(request), verdict="replayed")

    def _done(
        self, request: bytes, result: Result, campaign: CampaignState, member: bytes, details: bytes
    ) -> Result:
        won = tuple(result.prizes.won)
        result.record = Record(result.at_ms, campaign.plan.no, member, details, won)
        self.requests[request[:REQUEST_BYTES]] = details
        self._remember(request, result)
        return result


def forget_packet(campaign: CampaignState, member: bytes, pool_no: int, grant: str) -> None:
    packets = campaign.wallets[member].packets
    del packets[pool_no][grant]
    if not packets[pool_no]:
        del packets[pool_no]


def _unknown_pool(result: Result, campaign: str, pool: str, said: Said | None) -> Result:
    if said is not None:
        raise ModelError(f"there is no such pool {pool} in campaign {campaign}")
    result.verdict = "unknown_pool"
    return result


def _against_draw(
    campaign: CampaignState, pool: PlanPool, facts: DrawFacts, limits: Limits, at_ms: int
) -> Iterator[Against]:
    yield from not_running(campaign, at_ms)
    if facts.paid and facts.paid != compact({"points": pool.price}):
        yield Against("malformed", f"pool {pool.id}: {facts.paid} is not the price")
    entry = Facts(facts.role, facts.tier, channel=facts.channel)
    if not may_draw(pool, campaign.plan.timezone, entry, at_ms):
        yield Against("no_entry", f"pool {pool.id}: {facts.member} may not enter it")
    yield from _at_limit(pool, facts.member, limits)
    wallet = campaign.wallets.get(member_digest(facts.member))
    if not facts.paid and not (wallet and wallet.chances.get(pool.no)):
        yield Against("no_chance", f"pool {pool.id}: {facts.member} had no draw left")


def _against_grant(campaign: CampaignState, member: bytes, at_ms: int) -> Iterator[Against]:
    yield from not_running(campaign, at_ms)
    wallet = campaign.wallets.get(member)
    if wallet is not None and wallet.packet_count >= PACKETS_MAX:
        yield Against("limit_reached", f"the member had {PACKETS_MAX} packets already")


def _against_friend(
    campaign: CampaignState, pool: PlanPool, share: Share, member: str, limits: Limits, at_ms: int
) -> Iterator[Against]:
    for against in not_running(campaign, at_ms):
        # To a friend it is the packet whose time is over.
        yield against._replace(verdict="share_over") if against.verdict == "campaign_over" else against
    if at_ms >= share.at_ms + pool.open_for:
        yield Against("share_over", "the packet was not open any more")
    if member == share.giver:
        yield Against("own_share", "the packet is the giver's own")
    if len(share.friends) >= pool.slots:
        yield Against("share_used_up", f"all {pool.slots} slots were taken")
    yield from _at_limit(pool, member, limits)


def _at_limit(pool: PlanPool, member: str, limits: Limits) -> Iterator[Against]:
    until_ms = limits.reached(pool.no)
    if until_ms is not None:
        yield Against("limit_reached", f"pool {pool.id}: {member} was at its limit", until_ms)


def _use_chance(campaign: CampaignState, member: bytes, pool_no: int) -> None:
    wallet = campaign.wallets.get(member)
    if wallet is None or not wallet.chances.get(pool_no):
        return  # told of already
    wallet.chances[pool_no] -= 1
    if not wallet.chances[pool_no]:
        del wallet.chances[pool_no]
    campaign.tally.chances_used += 1
