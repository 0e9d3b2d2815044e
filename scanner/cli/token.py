"""scanner token: member tokens for trying things; a brand's backend issues its own."""

import re
import time
from typing import Annotated

import typer

from scanner.cli.console import AsJson, print_json, settings_of, token_keys_of
from scanner.errors import ConfigurationError
from scanner.identity import Member, UnauthorizedError

app = typer.Typer(name="token", help="Member tokens.", no_args_is_help=True)

_TTL = re.compile(r"([1-9][0-9]{0,6})([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def ttl_seconds(text: str) -> int:
    match = _TTL.fullmatch(text)
    if not match:
        raise typer.BadParameter(f"expected a number and one of s, m, h, d, such as 1h; got {text!r}")
    return int(match[1]) * _UNIT_S[match[2]]


@app.command()
def issue(
    context: typer.Context,
    member: Annotated[str, typer.Option(help="The member's id, 1 to 64 characters.")],
    role: Annotated[str, typer.Option(help="Such as worker.")] = "",
    tier: Annotated[str, typer.Option(help="Such as gold.")] = "",
    seller: Annotated[str, typer.Option(help="The seller who shares in the scan.")] = "",
    inviter: Annotated[str, typer.Option(help="Who invited the member.")] = "",
    ttl: Annotated[str, typer.Option(help="How long it is valid: 90s, 30m, 1h, 7d.")] = "1h",
    as_json: AsJson = False,
) -> None:
    """Prints a member token (JWT, HS256).

    Example: scanner token issue --member alice --role worker --ttl 1h
    """
    now_s, ttl_s = int(time.time()), ttl_seconds(ttl)
    keys = token_keys_of(settings_of(context))
    try:
        token = keys.issue(Member(member, role, tier, seller, inviter), now_s=now_s, ttl_s=ttl_s)
    except UnauthorizedError as error:
        raise ConfigurationError(f"such a token would not be accepted: {error}") from None
    if as_json:
        print_json({"token": token, "member": member, "expires": now_s + ttl_s})
    else:
        typer.echo(token)
