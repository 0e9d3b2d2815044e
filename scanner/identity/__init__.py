"""Who scans: member tokens. No I/O here."""

from scanner.identity.tokens import Member, StaleTokenError, TokenKeys, UnauthorizedError

__all__ = ["Member", "StaleTokenError", "TokenKeys", "UnauthorizedError"]
