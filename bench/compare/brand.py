"""The brand that all peers serve: its keys, its members with their tokens, and scans as whole requests.

Everything is made before anything is timed. The same brand is given to every peer, as key files to scanner
and as one file of facts to the others.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scanner.campaigns import compile_plan, parse
from scanner.codes import Keyring, KeyTable, to_text
from scanner.codes.format import derive
from scanner.identity import Member, TokenKeys
from scanner.identity.tokens import AUDIENCE

CAMPAIGN_TOML = Path(__file__).with_name("campaign.toml").read_text()
PRODUCT = "06901234567892"
CHANNEL = "weixin-mini-program"
MEMBERS = 300
TOKEN_TTL_S = 24 * 3600
PLAN = compile_plan(parse(CAMPAIGN_TOML), no=1, previous=None)
# Where the peers that are not scanner keep what they know.
EVENTS_KEY = "events"

# As a mini-program's request arrives behind the proxy that ends TLS.
_HEAD = (
    "POST /v1/scans HTTP/1.1\r\n"
    "Host: scan.brand.example\r\n"
    "User-Agent: Mozilla/5.0 (Linux; Android 14; PJD110) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
    "Chrome/130.0.6723.103 Mobile Safari/537.36 XWEB/1300259 MMWEBSDK/20241103 MicroMessenger/8.0.55.2780 "
    "WeChat/arm64 NetType/5G Language/zh_CN ABI/arm64 MiniProgramEnv/android\r\n"
    "Accept: */*\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Referer: https://servicewechat.com/wx0123456789abcdef/42/page-frame.html\r\n"
    "Content-Type: application/json\r\n"
    "Authorization: Bearer {token}\r\n"
    "Content-Length: {length}\r\n"
    "\r\n"
    "{body}"
)


class Brand:
    """One brand with fresh keys. Members are numbers from 0 to MEMBERS - 1."""

    def __init__(self, now_s: int) -> None:
        self.keyring = Keyring.new()
        self.token_keys = TokenKeys.new()
        self.table: KeyTable = self.keyring.table()
        self.kid = self.keyring.minting_kid
        self.tokens = [
            self.token_keys.issue(Member(f"member-{n}"), now_s=now_s, ttl_s=TOKEN_TTL_S)
            for n in range(MEMBERS)
        ]

    def code(self, lot: int, serial: int) -> str:
        return to_text(self.table.seal(self.kid, lot, serial))

    def forged(self, lot: int, serial: int) -> str:
        """A code whose tag has one bit turned: as near to a genuine one as a forgery can be."""
        raw = bytearray(self.table.seal(self.kid, lot, serial))
        raw[-1] ^= 1
        return to_text(bytes(raw))

    def scan(self, member: int, code: str, token: str = "") -> bytes:
        """A scan as a whole HTTP request; ``token`` stands in for the member's own."""
        body = json.dumps({"code": code, "channel": CHANNEL}, separators=(",", ":"))
        return _HEAD.format(token=token or self.tokens[member], length=len(body), body=body).encode()

    def scans(self, lot: int, serials: Iterable[int]) -> list[bytes]:
        """Genuine codes, each scanned by one of the members in turn."""
        return [self.scan(serial % MEMBERS, self.code(lot, serial)) for serial in serials]

    def forgeries(self, lot: int, serials: Iterable[int]) -> list[bytes]:
        return [self.scan(serial % MEMBERS, self.forged(lot, serial)) for serial in serials]

    def facts(self, store: Path, lot: int, size: int) -> dict[str, Any]:
        """What a peer other than scanner has to know, as JSON."""
        [master] = [key.master for key in self.keyring.keys]
        [token_key] = self.token_keys.keys.values()
        keys = derive(master)
        return {
            "store": str(store),
            "events": EVENTS_KEY,
            "key": {"kid": self.kid, "tag": keys.tag.hex(), "mask": keys.mask.hex()},
            "token_key": token_key.hex(),
            "audience": AUDIENCE,
            "lot": {"no": lot, "size": size, "product": PRODUCT},
            "campaign": {"id": PLAN.id},
            "pools": [
                {
                    "key": pool_key(pool.id),
                    "awards": {
                        prize.id: json.loads(prize.award) if prize.award else None for prize in pool.prizes
                    },
                }
                for pool in PLAN.pools
            ],
        }


def pool_key(pool: str) -> str:
    return f"pool:{pool}"


def full_pools() -> dict[str, dict[str, int]]:
    """Pool id → prize id → pieces, as they are before the first scan."""
    return {pool.id: {prize.id: prize.stock or 0 for prize in pool.prizes} for pool in PLAN.pools}
