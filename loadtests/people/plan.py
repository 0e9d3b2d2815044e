"""What the Locust process is told, and what it tells in the end: two JSON files."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

VARIABLE = "LOADTESTS_PLAN"
# What people do, by the names under which `Result.did` counts it. None of it may be missing from a run.
BEHAVIOURS = ("crowd", "honest", "gave up", "two members", "forged")


@dataclass(frozen=True)
class Plan:
    """``seconds`` long, with ``users`` at its height.

    The others are paths: of the codes and tokens to use, and of where the scan_ids of accepted scans and the
    result go.
    """

    shape: str
    seconds: float
    users: int
    codes: str
    tokens: str
    acknowledged: str
    result: str

    def write(self, path: Path) -> None:
        path.write_bytes(orjson.dumps(asdict(self)))

    @classmethod
    def of_environment(cls) -> "Plan":
        return cls(**orjson.loads(Path(os.environ[VARIABLE]).read_bytes()))


@dataclass(frozen=True)
class Result:
    """What the people saw. ``did`` counts what they did to the end, by its name.

    ``busy_share`` is how much of a core Locust used: near 1 its latencies are its own.
    """

    requests: int
    errors: int
    wrong_count: int
    wrong: list[str]
    did: dict[str, int]
    codes_sent: int
    ran_out_of_codes: bool
    latency_ms: dict[str, float]
    answers_per_second: float
    cpu_us_per_request: float
    busy_share: float

    def write(self, path: Path) -> None:
        path.write_bytes(orjson.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> "Result":
        return cls(**orjson.loads(path.read_bytes()))
