"""The options that all runs share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from loadtests.gates import DEFAULTS, Gates, read_gates
from loadtests.stage import Another

Host = Annotated[
    str | None, typer.Option(help="host:port of another service; without it, one of our own is started.")
]
Codes = Annotated[
    Path | None, typer.Option(help="With --host: unclaimed codes, one a line.", exists=True, dir_okay=False)
]
Tokens = Annotated[
    Path | None, typer.Option(help="With --host: member tokens, one a line.", exists=True, dir_okay=False)
]
TokenKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--token-keys", help="With --host: the key file to issue tokens with.", exists=True, dir_okay=False
    ),
]
OwnHost = Annotated[
    bool, typer.Option("--i-own-this-host", help="Needed for any host but a loopback address.")
]
Workers = Annotated[int, typer.Option(min=1, max=64, help="Worker processes of the service of our own.")]
ReportDir = Annotated[
    Path | None, typer.Option(help="Where the report goes; build/loadtests/NAME without it.")
]
GatesFile = Annotated[
    Path, typer.Option("--gates", help="A file of gates, as loadtests/gates.toml.", exists=True)
]
P99 = Annotated[float | None, typer.Option("--p99-ms", min=0, help="In place of the gate in the file.")]
ErrorShare = Annotated[float | None, typer.Option(min=0, max=1, help="In place of the gate in the file.")]


@dataclass(frozen=True)
class Common:
    """These options as a run takes them."""

    another: Another | None
    workers: int
    report_dir: Path
    gates: Gates


def common(
    name: str,
    *,
    host: str | None,
    codes: Path | None,
    tokens: Path | None,
    token_keys: Path | None,
    i_own_this_host: bool,
    workers: int,
    report_dir: Path | None,
    gates: Path = DEFAULTS,
    p99_ms: float | None = None,
    error_share: float | None = None,
) -> Common:
    given = [file for file in (tokens, token_keys) if file is not None]
    if host is None and (codes or given or i_own_this_host):
        raise typer.BadParameter("--codes, --tokens, --token-keys and --i-own-this-host go with --host")
    another = None
    if host is not None:
        if codes is None or len(given) != 1:
            raise typer.BadParameter(
                "with --host, give --codes FILE (unclaimed ones, as `scanner lot mint` writes them), and "
                "--tokens FILE or --token-keys FILE"
            )
        another = Another(host, codes, given[0], token_keys is not None, i_own_this_host)
    directory = report_dir or Path("build/loadtests") / name
    directory.mkdir(parents=True, exist_ok=True)
    return Common(
        another,
        workers,
        directory.absolute(),
        read_gates(name, gates).but(p99_ms=p99_ms, error_share=error_share),
    )
