"""Who has failed too often waits: what the endpoints and the fast lane ask of the throttle.

The rule stands in ``throttle.py``. Here it meets requests: which outcomes are failures, which member and
which address they count for. The brand's own services are trusted with many codes, and a token that may
have been ours is no forgery: these are neither counted nor held back.
"""

from contextlib import suppress
from secrets import token_bytes

from scanner.identity import Member, StaleTokenError, UnauthorizedError
from scanner.service.addresses import UNIX, Addresses
from scanner.service.desk import SERVICE, Desk
from scanner.service.problems import Answer, problem
from scanner.service.throttle import THROTTLE_BYTES, Throttle

FAILED = frozenset({"unknown_code", "unknown_share", "pin_wrong", "unauthorized"})
SUCCEEDED = "accepted"
_SECRET_BYTES = 32
SHARED_BYTES = _SECRET_BYTES + THROTTLE_BYTES
"""What the workers of a service share: the secret, then the counts."""
BY_PROXY = -1
"""In the place of a connection's address key: each request says whose it is."""


class Guard:
    """Holds back members and addresses for one set of keys. An address is known by its key, 0 for none."""

    def __init__(self, desk: Desk, throttle: Throttle, *, counts: bool = True) -> None:
        self._desk = desk
        self._throttle = throttle
        self._counts = counts

    @property
    def kept(self) -> memoryview:
        """Whether anything is kept of anybody: its first integer is not 0 then."""
        return self._throttle.kept

    def key_of(self, member: Member) -> int:
        return self._throttle.member_key(member.id)

    def refuses(self, authorization: str, address: int) -> Answer | None:
        """The refusal of who has to wait or has no valid token, before a body is read for them."""
        try:
            sender = self._desk.sender(authorization)
        except UnauthorizedError as error:
            return self.refuses_token(error, address)
        if sender.role == SERVICE or self._throttle.is_quiet:
            return None
        return self.holds(self.key_of(sender), address)

    def holds(self, member_key: int, address: int) -> Answer | None:
        """The refusal of who has to wait; 0 is a sender without a valid token."""
        wait_s = self._throttle.wait_s(member_key, address, self._desk.clock())
        return problem("throttled", headers={"Retry-After": str(wait_s)}) if wait_s else None

    def refuses_token(self, error: UnauthorizedError, address: int) -> Answer:
        """The refusal of a request for its token's fault, which is counted."""
        if not isinstance(error, StaleTokenError):
            if held := self.holds(0, address):
                return held
            self.count(0, address, "unauthorized")
        return problem("unauthorized")

    def judged(self, authorization: str, address: int, outcome: str) -> None:
        """Counts what a request with a valid token came to."""
        if outcome in FAILED or (outcome == SUCCEEDED and not self._throttle.is_quiet):
            with suppress(UnauthorizedError):  # it has expired meanwhile
                sender = self._desk.sender(authorization)
                if sender.role != SERVICE:
                    self.count(self.key_of(sender), address, outcome)

    def count(self, member_key: int, address: int, outcome: str) -> None:
        """The same where it is known who asked."""
        if not self._counts:
            return
        if outcome in FAILED:
            self._throttle.failed(member_key, address, self._desk.clock())
        elif outcome == SUCCEEDED:
            self._throttle.succeeded(member_key, address)


class Origins:
    """Where connections and requests come from, as keys of the throttle."""

    def __init__(self, addresses: Addresses, throttle: Throttle) -> None:
        self._addresses = addresses
        self._throttle = throttle

    def of_peer(self, peername: object) -> tuple[str, int]:
        """A connection's peer, as its transport names it, and the peer's key; BY_PROXY for a trusted one."""
        peer = str(peername[0]) if isinstance(peername, tuple) else UNIX
        return peer, BY_PROXY if self._addresses.trusts(peer) else self.of_request(peer, "")

    def of_request(self, peer: str, forwarded_for: str) -> int:
        """The key of a request that came by this peer, with this ``X-Forwarded-For``."""
        return self._throttle.address_key(self._addresses.of(peer, forwarded_for))


def make_shared(memory: memoryview) -> None:
    """Makes the memory that workers share ready for :func:`throttle_in`: zeros, and a secret."""
    memory[:_SECRET_BYTES] = token_bytes(_SECRET_BYTES)


def throttle_in(memory: memoryview) -> Throttle:
    """The throttle in that memory."""
    return Throttle(memory[_SECRET_BYTES:SHARED_BYTES], bytes(memory[:_SECRET_BYTES]))
