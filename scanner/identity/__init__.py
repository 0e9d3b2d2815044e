"""Who scans: member tokens. No I/O here."""

from scanner.identity.tokens import Member, TokenKeys, UnauthorizedError

__all__ = ["Member", "TokenKeys", "UnauthorizedError"]
