"""Every key of the store, its hash tag and its lifetime. No other file spells a key.

All keys of a brand carry the hash tag ``{<brand>/<partition>}``, so that one function call may touch any of
them on a cluster. None of them ever expires: a claim is for ever, the rest is the brand's stock and rules.

=====================  =========  ==================================================================
key (after the tag)    type       content
=====================  =========  ==================================================================
``events``             stream     the ledger; trimmed by the archive only
``directory``          zset       ``lot:<n>`` and ``campaign:<id>``, by revision of the last change
``numbers``            hash       the last ``lot`` and ``campaign`` numbers given out
``lot:<n>``            hash       see ``functions/lot_register.lua``
``campaign:<id>``      hash       see ``functions/campaign_apply.lua``
``pool:<id>/<pool>``   hash       prize id → how many remain, or ``*`` for no limit
``claims:<lot>:<b>``   hash       serial mod 64 → claim record, for the serials 64·b … 64·b+63
=====================  =========  ==================================================================
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
