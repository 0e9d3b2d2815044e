"""Who scans: member tokens. No I/O here."""

from scanner.identity.tokens import ExpiredError, Member, TokenKeys, UnauthorizedError

__all__ = ["ExpiredError", "Member", "TokenKeys", "UnauthorizedError"]
