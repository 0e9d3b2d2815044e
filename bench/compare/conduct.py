"""The whole comparison: a first look at how fast each peer is, then round after round of turns."""

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.compare.brand import Brand
from bench.compare.client import client
from bench.compare.cores import Cores, on_core, usable_cores
from bench.compare.figures import Round
from bench.compare.node import UnavailableError
from bench.compare.peers import Peer
from bench.compare.process import LOG, CompareError, tail_of, warnings_in
from bench.compare.turn import Figures, Rig, Size, turn

FULL = Size(warm=2_000, closed=8_000, open_s=8, alone=200, forged=4_000)
QUICK = Size(warm=200, closed=600, open_s=1.5, alone=50, forged=600)
FULL_ROUNDS, QUICK_ROUNDS = 5, 1
# Enough answers to tell how fast a peer is, roughly.
LOOK_MAX = 2_000
# Of what the slowest peer that does the job can do: the rate at which latencies are compared.
RATE_SHARE = 0.6


@dataclass
class Comparison:
    """What was measured. ``rate_per_s`` is the offered rate of the open loop; ``skipped`` says why, by peer,
    and ``warnings`` what a peer itself warned of."""

    cores: Cores
    size: Size
    rate_per_s: float = 0.0
    rounds: list[Round] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, list[str]] = field(default_factory=dict)


async def compare(peers: Mapping[str, Peer], size: Size, rounds: int) -> Comparison:
    """Lets the peers take turns. One that cannot run here is skipped.

    Raises:
        CompareError: a peer does not do the job; the message begins with its name.
    """
    found = Comparison(usable_cores(), size)
    with tempfile.TemporaryDirectory(prefix="compare-") as room, on_core(found.cores.others):
        async with client(found.cores.others, Path(room)) as driving:
            rig = Rig(Brand(int(time.time())), found.cores, driving, size)
            throughputs = await _first_look(peers, rig, found)
            jobs = [throughputs[name] for name in throughputs if peers[name].does_the_job]
            found.rate_per_s = RATE_SHARE * min(jobs or throughputs.values())
            for number in range(rounds):
                figures: dict[str, Figures] = {}
                for name in rotated(list(throughputs), number):
                    _say(f"round {number + 1} of {rounds}: {name}")
                    figures[name] = await _turn(name, peers[name], rig, found, found.rate_per_s)
                found.rounds.append({name: figures[name] for name in throughputs})
    return found


def rotated(names: Sequence[str], by: int) -> list[str]:
    """So that every peer comes first, and follows on another, in turn."""
    at = by % len(names)
    return [*names[at:], *names[:at]]


async def _first_look(peers: Mapping[str, Peer], rig: Rig, found: Comparison) -> dict[str, float]:
    """Answers a second, in closed loop, of each peer that can run: no figure, but the measure of a rate."""
    throughputs = {}
    rig = replace(rig, size=replace(rig.size, closed=min(rig.size.closed, LOOK_MAX)))
    for name, peer in peers.items():
        _say(f"first look: {name}")
        try:
            throughputs[name] = (await _turn(name, peer, rig, found, None))["throughput_per_s"]
        except UnavailableError as error:
            found.skipped[name] = str(error)
            _say(f"{name} is skipped: {error}")
    if not throughputs:
        raise CompareError("no peer can run here")
    return throughputs


async def _turn(name: str, peer: Peer, rig: Rig, found: Comparison, rate: float | None) -> Figures:
    with tempfile.TemporaryDirectory(prefix=f"compare-{name}-") as directory:
        log = Path(directory) / LOG
        try:
            figures = await turn(peer, rig, Path(directory), rate)
        except CompareError as error:
            said = f"\nits log ends: {tail_of(log)}" if log.exists() else ""
            raise CompareError(f"{name}: {error}{said}") from None
        warned = found.warnings.setdefault(name, [])
        warned += [warning for warning in warnings_in(log) if warning not in warned]
        return figures


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
