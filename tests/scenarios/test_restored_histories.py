"""Random histories of every kind of claim and operation, restored from their export in between.

The play is that of test_prize_engine.py: after each restore it goes on against the plain model, so that what
was claimed is answered as before, and what is left is drawn from as if nothing had happened.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from scanner.errors import StoreUnavailableError
from scanner.ledger.audit import audit
from scanner.ledger.model import requests as model_requests
from scanner.ledger.restore import export, rebuild
from tests.engine.store import PACKETS_MAX, Engine, planted
from tests.ledger.restoring import Dying, everything, restore_into
from tests.scenarios.test_prize_engine import PrizeEngine, engine, step  # noqa: F401 (engine: a fixture)

STEPS, SEED, STEPS_AN_EXAMPLE = 1000, 20270302, 40


class RestoredEngine(PrizeEngine):
    """The play, with a rule that loses the store but for wrong PINs, and restores it from its export."""

    file: Path

    @step(killed=st.lists(st.integers(1, 40), max_size=2), is_empty=st.booleans(), with_keys=st.booleans())
    def restore(self, killed: list[int], is_empty: bool, with_keys: bool) -> None:
        """`killed`: at which call to the store the restore dies, one run after another."""
        self.world.run(self._restore(killed, is_empty, self.engine.table if with_keys else None))

    async def _restore(self, killed: Sequence[int], is_empty: bool, table: Any) -> None:
        store = self.world.brand.store
        before = await everything(store)
        if "events" not in before:
            return
        await export(store, self.file)
        if is_empty:
            await store.client.execute_command("DEL", *(f"{store.keys.prefix}{name}" for name in before))
        for calls in killed:
            try:
                await restore_into(replace(store, client=Dying(store.client, calls)), [self.file], table)
            except StoreUnavailableError:
                await store.client.execute_command("DEL", store.keys.restoring)  # as time does
        await restore_into(store, [self.file], table)
        self._forget_what_changed_nothing(before, after := await everything(store))
        for name in before.keys() | after.keys():
            assert after.get(name) == before.get(name), f"{name}: {after.get(name)}, not {before.get(name)}"
        report = await audit(store, self.engine.table)
        assert not report.differences, f"the audit says: {report.differences[:3]}"
        await self.world.worker.directory.refresh()

    def _forget_what_changed_nothing(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Request ids of operations that found nothing to change are not in the ledger."""
        told = {fields[b"request"] for _, fields in before["events"][0] if b"request" in fields}
        done, expires = before.get("operations", ({}, -1))
        for request in done.keys() - told:
            del self.world._done[request.decode()]
        if kept := {request: what for request, what in done.items() if request in told}:
            before["operations"] = (kept, expires)
        else:
            before.pop("operations", None)


def run(engine: Engine, file: Path, steps: int, phases: Sequence[Phase]) -> int:  # noqa: F811
    said = {"engine": engine, "library": planted(), "steps": 0, "file": file}
    machine = type("RestoredEngine", (RestoredEngine,), said)
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
    with patch.object(model_requests, "PACKETS_MAX", PACKETS_MAX), patch.object(rebuild, "AT_ONCE", 20):
        run_state_machine_as_test(seed(SEED)(machine), settings=profile)
    return machine.steps


def test_a_restored_history_goes_on_as_if_nothing_had_happened(engine: Engine, tmp_path: Path) -> None:  # noqa: F811
    assert run(engine, tmp_path / "ledger.jsonl", STEPS, (Phase.generate, Phase.shrink)) > STEPS / 2
