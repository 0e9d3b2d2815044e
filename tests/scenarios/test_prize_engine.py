"""Random interleavings of everything that docs/prizes.md says, played against the plain model.

``make test`` plays 10,000 steps, always the same; ``make test-long`` 200,000 (SCANNER_TEST_STEPS), others
each time, by a seed that it says and that can be given again (SCANNER_TEST_SEED). A failure is shrunk to a
short list of actions, each a line that can be read. The lanes take turns, scan by scan.
"""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from scanner.ledger.functions import Library
from scanner.ledger.model import requests as model_requests
from tests.engine import choices
from tests.engine.actions import Action, Draw, Friend, Grant, Operation, Scan, Until
from tests.engine.choices import Beginning
from tests.engine.files import changed
from tests.engine.store import PACKETS_MAX, Engine, planted
from tests.engine.world import World

STEPS_OF_CI, SEED_OF_CI = 10_000, 20270301
STEPS = int(os.environ.get("SCANNER_TEST_STEPS", STEPS_OF_CI))
SEED = os.environ.get("SCANNER_TEST_SEED")
AT_ONCE = 5000  # Hypothesis remembers all of a run
STEPS_AN_EXAMPLE = 50


def has_pool(name: str) -> Any:
    return precondition(
        lambda self: any(name in one.plan.by_id for one in self.world.model.campaigns.values())
    )


def step(**arguments: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule whose calls are counted."""

    def counted(function: Callable[..., None]) -> Any:
        @wraps(function)
        def play(self: "PrizeEngine", **values: Any) -> None:
            type(self).steps += 1
            self.is_whole = False
            function(self, **values)
            self.is_whole = True

        return rule(**arguments)(play)

    return counted


class PrizeEngine(RuleBasedStateMachine):
    engine: ClassVar[Engine]
    library: ClassVar[Library]
    steps: ClassVar[int] = 0
    is_whole = False

    @initialize(beginning=choices.beginnings())
    def begin(self, beginning: Beginning) -> None:
        self.world = World(self.engine, self.library, *beginning)
        self.is_whole = True

    def teardown(self) -> None:
        if self.is_whole:  # else it failed, and the audit would only say so again
            self.world.close()

    @step(scan=choices.scans())
    def scan(self, scan: Scan) -> None:
        self.world.play([scan])

    @has_pool("wheel")
    @step(draw=choices.draws())
    def draw(self, draw: Draw) -> None:
        self.world.play([draw])

    @has_pool("gift")
    @step(grant=choices.grants())
    def grant(self, grant: Grant) -> None:
        self.world.play([grant])

    @precondition(lambda self: self.world.shares)
    @step(friend=choices.friends())
    def friend(self, friend: Friend) -> None:
        self.world.play([friend])

    @step(claims=choices.together())
    def together(self, claims: list[Action]) -> None:
        """Judged in one call of the store."""
        self.world.play(claims)

    @step(scans=st.lists(choices.scans(), min_size=1, max_size=4))
    def batch(self, scans: list[Scan]) -> None:
        """Brought by a service."""
        self.world.play_batch(scans)

    @precondition(lambda self: self.world.packets)
    @step(late=st.sampled_from((True, True, False)), claims=st.none() | choices.expired_with())
    def sweep(self, late: bool, claims: list[Action] | None) -> None:
        """All packets that have expired go back, or one together with claims; `late`: once the next has."""
        if late:
            for id in self.world.model.campaigns:
                self.world.move_to("packet", id)
        if claims is None:
            self.world.sweep()
        else:
            self.world.play([claim for claim in claims if self.world.can_be(claim)])

    @step(
        ms=st.sampled_from((1, 999, 10_000, 60_000, 3_600_000, 86_400_000)),
        skew=st.sampled_from((0, 0, -1, 60_000)),
    )
    def wait(self, ms: int, skew: int) -> None:
        """`skew`: so far is the worker's clock from the store's from now on."""
        self.world.skew = skew
        self.world.move(self.world.now + ms)

    @step(until=choices.untils())
    def until(self, until: Until) -> None:
        self.world.until(until)

    @step(operation=choices.operated())
    def operate(self, operation: Operation) -> None:
        self.world.operate(operation.what, operation.request)
        if operation.look:
            self.world.look()
        if operation.then:
            self.world.play([operation.then])
        if operation.resume:
            self.world.operate(("resume", operation.what[1]), "")

    @step(change=choices.changes())
    def change(self, change: tuple[str, str, int]) -> None:
        """Applies a changed file."""
        campaign, how, where = change
        if campaign in self.world.files:
            accepted = self.world.apply(changed(self.world.files[campaign], how, where))
            assert accepted or how == "less", "it only adds, and was refused"


def run(engine: Engine, *plants: tuple[str, str], steps: int, by: int, phases: Sequence[Phase]) -> int:
    """Plays about so many steps, with bugs planted, by this seed; returns how many were played."""
    machine = type("PrizeEngine", (PrizeEngine,), {"engine": engine, "library": planted(*plants), "steps": 0})
    engine.load(machine.library)
    profile = settings(
        max_examples=steps // STEPS_AN_EXAMPLE,
        stateful_step_count=STEPS_AN_EXAMPLE,
        phases=phases,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with patch.object(model_requests, "PACKETS_MAX", PACKETS_MAX):
        run_state_machine_as_test(seed(by)(machine), settings=profile)
    return machine.steps


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    room = tmp_path_factory.mktemp("engine")
    with pytest.MonkeyPatch.context() as outside:  # as conftest.py has it for each test
        for name in [name for name in os.environ if name.startswith("SCANNER_") and name != "SCANNER_PURE"]:
            outside.delenv(name)
        outside.chdir(room)
        engine = Engine(room / "data")
    yield engine
    engine.close()


def test_store_and_model_never_differ(engine: Engine) -> None:
    """Not a prize, an amount, a refusal, a counter or an entry, whatever comes in between."""
    chosen = SEED_OF_CI if STEPS == STEPS_OF_CI else random.SystemRandom().randrange(2**32)
    by, played = int(SEED or chosen), 0
    while played < STEPS:
        print(f"{played} of {STEPS} steps played, on by seed {by}")  # noqa: T201 (to play it again)
        played += run(engine, steps=AT_ONCE, by=by, phases=(Phase.generate, Phase.shrink))
        by += 1
