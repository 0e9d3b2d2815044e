"""Every key of the store, its hash tag and its lifetime. No other file spells a key.

All keys of a brand carry the hash tag ``{<brand>/<partition>}``, so that one function call may touch any of
them on a cluster. None expires but where it says so: a claim is for ever, the rest is the brand's stock and
rules.

==========================  ======  ==========================================================================
key (after the tag)         type    content
==========================  ======  ==========================================================================
``events``                  stream  the ledger; trimmed by the archive only. While it is restored a string
                                    stands there: no function writes without a stream
``directory``               zset    ``lot:<n>`` and ``campaign:<id>``, by revision of the last change
``numbers``                 hash    the last ``lot`` and ``campaign`` numbers given out
``lot:<n>``                 hash    see ``functions/lot_register.lua``
``campaign:<id>``           hash    see ``functions/campaign_apply.lua``
``pool:<id>/<pool>``        hash    prize id → how many remain, or ``*`` for no limit;
                                    ``<prize id>:money`` → the money left for its lucky amounts
``budget:<id>``             hash    pool id, or ``*`` for the campaign → the money left
``claims:<lot>:<b>``        hash    serial mod 64 → claim record, for the serials 64·b … 64·b+63
``requests:<hex>``          hash    digest of a draw or grant → claim record; the digest's first 12 bits
``share:<scan_id>``         hash    ``giver`` → member, ``at`` → ms; friend's digest → claim record
``counts:<id>:<member>``    string  how often a member has scanned and drawn (``functions/limits.lua``);
                                    expires with the day, or with the campaign's counters
``wallet:<id>:<member>``    hash    what a member keeps for later (``functions/wallet.lua``)
``expiries``                zset    locked packets by the ms at which they expire (``functions/packet.lua``)
``tries:<lot>:<serial>``    string  wrong PINs of a code (``functions/tries.lua``); expires after a day
``tries:<member>``          string  wrong PINs of a member; expires after a day
``operations``              hash    request id → what was done under it
``dead:<group>``            stream  what a consumer group could not handle (``scanner/queue``), until somebody
                                    retries or drops it
``again:<group>``           stream  what was retried, until the group has handled it
``keeper``                  string  which archive is kept now (``functions/keep.lua``); expires soon after its
                                    keeper was last heard of
``resting``                 string  there while nothing is trimmed after a restore; expires by itself
``restoring``               string  who restores the ledger now; expires soon after they were last heard of
``rebuilt``                 stream  the ledger as it is restored; takes the place of ``events`` once whole
``replaced``                stream  what ``events`` was until nothing of it is needed any more
==========================  ======  ==========================================================================

A member stands there as 16 hex digits, the digest of claim records.
"""

from dataclasses import dataclass
from functools import cached_property

# 64 records stay within the store's listpack encoding: about 40 bytes a claim in place of 150.
BUCKET_SERIALS = 64


@dataclass(frozen=True)
class Keys:
    """The keys of one brand's partition."""

    brand: str
    partition: int = 0

    @cached_property
    def prefix(self) -> str:
        return f"scanner:{{{self.brand}/{self.partition}}}:"

    @property
    def events(self) -> str:
        return f"{self.prefix}events"

    @property
    def directory(self) -> str:
        return f"{self.prefix}directory"

    @property
    def numbers(self) -> str:
        return f"{self.prefix}numbers"

    def lot(self, no: int) -> str:
        return f"{self.prefix}lot:{no}"

    def campaign(self, id: str) -> str:
        return f"{self.prefix}campaign:{id}"

    def pool(self, campaign: str, pool: str) -> str:
        return f"{self.prefix}pool:{campaign}/{pool}"

    def claims(self, lot: int, bucket: int) -> str:
        return f"{self.prefix}claims:{lot}:{bucket}"

    def budget(self, campaign: str) -> str:
        return f"{self.prefix}budget:{campaign}"

    def requests(self, digest: bytes) -> str:
        return f"{self.prefix}requests:{digest.hex()[:3]}"

    def share(self, scan_id: str) -> str:
        return f"{self.prefix}share:{scan_id}"

    def counts(self, campaign: str, member: bytes) -> str:
        return f"{self.prefix}counts:{campaign}:{member.hex()}"

    def wallet(self, campaign: str, member: bytes) -> str:
        return f"{self.prefix}wallet:{campaign}:{member.hex()}"

    @property
    def expiries(self) -> str:
        return f"{self.prefix}expiries"

    def code_tries(self, lot: int, serial: int) -> str:
        return f"{self.prefix}tries:{lot}:{serial}"

    def member_tries(self, member: bytes) -> str:
        return f"{self.prefix}tries:{member.hex()}"

    @property
    def operations(self) -> str:
        return f"{self.prefix}operations"

    def dead(self, group: str) -> str:
        return f"{self.prefix}dead:{group}"

    def again(self, group: str) -> str:
        return f"{self.prefix}again:{group}"

    @property
    def keeper(self) -> str:
        return f"{self.prefix}keeper"

    @property
    def resting(self) -> str:
        return f"{self.prefix}resting"

    @property
    def restoring(self) -> str:
        return f"{self.prefix}restoring"

    @property
    def rebuilt(self) -> str:
        return f"{self.prefix}rebuilt"

    @property
    def replaced(self) -> str:
        return f"{self.prefix}replaced"
