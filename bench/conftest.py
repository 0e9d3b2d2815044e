"""The fixtures of the suites: ``cost`` of work in this process, ``store_cost`` of work in a private store."""

import asyncio
import time
from collections.abc import Iterator

import pytest
import uvloop

from bench.cost import Cost, Timer
from bench.store import PrivateStore, private_store


@pytest.fixture
def cost(request: pytest.FixtureRequest) -> Cost:
    return _cost(request, time.process_time)


@pytest.fixture
def store_cost(request: pytest.FixtureRequest, runner: asyncio.Runner, private: PrivateStore) -> Cost:
    return _cost(request, lambda: runner.run(private.cpu_s()))


def _cost(request: pytest.FixtureRequest, timer: Timer) -> Cost:
    request.node.add_marker(pytest.mark.benchmark(timer=timer, disable_gc=True))
    return Cost(request.getfixturevalue("benchmark"), timer)


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    """The loop that the service runs on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner


@pytest.fixture(scope="session")
def private(runner: asyncio.Runner) -> Iterator[PrivateStore]:
    context = private_store()
    private = runner.run(context.__aenter__())
    yield private
    runner.run(context.__aexit__(None, None, None))


def pytest_benchmark_generate_machine_info() -> dict[str, str]:
    """Nothing: asking for the processor costs a second, and ratios are all that outlives the run."""
    return {}
