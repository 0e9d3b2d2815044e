"""scanner run: everything at once, for a first look."""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from scanner.cli.campaign import DEMO_PRODUCT, demo_campaign
from scanner.cli.console import actor, keyring_of, print_fields, settings_of, token_keys_of
from scanner.cli.keys import create_missing_keys
from scanner.cli.minting import write_codes
from scanner.cli.serve import READY_TIMEOUT_S, set_up_log
from scanner.codes import to_text
from scanner.errors import ConfigurationError, StoreUnavailableError
from scanner.identity import Member
from scanner.ledger import campaigns, lots
from scanner.ledger.connection import Store, opened
from scanner.service.signals import stop_event
from scanner.service.supervisor import service
from scanner.settings import Settings

CODES = 100
TOKEN_TTL_S = 24 * 3600


def run(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(help="Public port; 0 takes a free one. [SCANNER_PORT]")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
) -> None:
    """Starts everything for a first look: embedded store, keys, a campaign, 100 codes, the service.

    Example: scanner run
    """
    settings = settings_of(context, port=port, workers=workers, log_level="warning", drain_s=0)
    if settings.store_url.get_secret_value():
        raise ConfigurationError(
            "`scanner run` makes a demo campaign in the embedded store; unset SCANNER_STORE_URL, "
            "or start the service with `scanner serve`"
        )
    set_up_log(settings)
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    create_missing_keys(settings)
    async with service(settings) as supervisor:
        async with opened(settings) as store:
            lot, serial = await _ready_code(store, settings)
        if not await supervisor.ready(READY_TIMEOUT_S):
            raise StoreUnavailableError("the workers did not become ready; the log says why")
        code = to_text(keyring_of(settings).table().seal(lot.kid, lot.no, serial))
        token = token_keys_of(settings).issue(Member("alice"), now_s=int(time.time()), ttl_s=TOKEN_TTL_S)
        url = f"http://{settings.host}:{supervisor.settings.port}"
        print_fields(
            {
                "store": f"embedded, in {settings.data_dir}",
                "campaign": f"{lot.campaign}: points, a scratch card, a wheel",
                "codes": f"lot {lot.no}, {lot.size} codes in {_codes_file(settings, lot.no)}",
                "service": url,
                "operations": f"http://{settings.ops_host}:{supervisor.ops_port} (/livez /readyz /metrics)",
            }
        )
        typer.echo("\nScan a code (again: the same answer; another member: claimed). Ctrl-C ends it.\n")
        typer.echo(
            f"curl -s {url}/v1/scans -H 'Content-Type: application/json' "
            f"-H 'Authorization: Bearer {token}' -d '{{\"code\":\"{code}\"}}'"
        )
        await stop_event().wait()


async def _ready_code(store: Store, settings: Settings) -> tuple[lots.Lot, int]:
    """A demo lot and the serial of a code of it that was not claimed; a new lot where all were."""
    file = demo_campaign()
    await campaigns.apply(store, file, by=actor())
    keyring = keyring_of(settings)
    live = {state.kid for state in keyring.states() if state.state == "live"}
    for lot in await lots.read_all(store):
        is_whole = lot.active_count == lot.size == CODES and lot.state == "open" and lot.kid in live
        if is_whole and lot.campaign == file.campaign.id:
            serial = await lots.first_unclaimed(store, lot)
            if serial is not None:
                return lot, serial
    no = await lots.register(
        store,
        by=actor(),
        kid=keyring.minting_kid,
        size=CODES,
        product=DEMO_PRODUCT,
        campaign=file.campaign.id,
    )
    await lots.activate(store, no, by=actor(), first=0, last=CODES - 1)
    new = await lots.read(store, no)
    assert new is not None
    write_codes(keyring, new, _codes_file(settings, no), "text", None)
    return new, 0


def _codes_file(settings: Settings, no: int) -> Path:
    return settings.data_dir / f"demo-codes-{no}.txt"
