"""Where a run takes place: a service of its own, or another that its owner prepared codes and tokens for."""

import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.generator.target import Address, parse_address, require_own
from loadtests.lines import read_lines
from loadtests.own_service import TOKEN_SPARE_S, OwnService, own_service, write_tokens
from scanner.identity import TokenKeys
from scanner.settings import read_key_file


@dataclass(frozen=True)
class Another:
    """A service that runs already: ``host`` is host:port, ``codes`` a file of unclaimed ones, one a line.

    ``tokens`` is a file of members' tokens, one a line, or of the keys to issue them with.
    """

    host: str
    codes: Path
    tokens: Path
    tokens_are_keys: bool
    i_own_this_host: bool


@dataclass(frozen=True)
class Stage:
    """What a run needs to know. ``own`` is None where the service is another's."""

    address: Address
    codes_file: Path
    tokens_file: Path
    codes: int
    own: OwnService | None

    async def ledger_faults(self, files: Iterable[Path], codes_sent: int) -> list[str] | None:
        """What the ledger holds against the acknowledged scan_ids in the files; None for another's ledger."""
        if self.own is None:
            return None
        acknowledged = [line for file in files for line in file.read_text("ascii").splitlines()]
        return await self.own.faults(filter(None, acknowledged), codes_sent)

    async def figures(self, requests: int) -> dict[str, Any]:
        """What so many requests cost a service of our own; of another's nothing is known."""
        return {"service": await self.own.footprint(requests)} if self.own else {}


@asynccontextmanager
async def staged(
    another: Another | None, *, codes: int, seconds: float, workers: int, printed: int = 1
) -> AsyncIterator[Stage]:
    """A stage with so many unclaimed codes and tokens that outlast a run of ``seconds``, or what is given.

    Raises:
        LoadTestError: the other service's files fall short, or it may not be loaded.
        ConfigurationError: its key file is not one.
    """
    if another is None:
        async with own_service(codes=codes, seconds=seconds, workers=workers, printed=printed) as own:
            yield Stage(own.address, own.codes_file, own.tokens_file, codes, own)
        return
    address = parse_address(another.host)
    require_own(address, i_own_this_host=another.i_own_this_host)
    there = len(read_lines(another.codes, "codes"))
    with tempfile.TemporaryDirectory(prefix="scanner-load-") as directory:
        tokens = another.tokens
        if another.tokens_are_keys:
            keys = TokenKeys.parse(read_key_file(tokens))
            tokens = Path(directory) / "tokens.txt"
            write_tokens(keys, tokens, ttl_s=int(seconds) + TOKEN_SPARE_S)
        read_lines(tokens, "tokens")
        yield Stage(address, another.codes, tokens, there, None)
