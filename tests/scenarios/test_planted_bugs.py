"""Controls: what the random play of test_prize_engine.py is worth. Bugs that were planted must be found.

Each is put into the store's functions by replacing one text, and the machine plays as always, with a seed of
its own, until it finds a difference.
"""

import pytest
from hypothesis import Phase

from tests.engine.store import Engine
from tests.scenarios.test_prize_engine import engine, run  # noqa: F401 (a fixture)

STEPS = 10_000

BUGS = {
    "limit off by one": (
        "if limits.total and count[2] >= limits.total then",
        "if limits.total and count[2] > limits.total then",
    ),
    "limit a day off by one": (
        "counts.day == terms.day and count[1] >= limits.per_day then",
        "counts.day == terms.day and count[1] > limits.per_day then",
    ),
    "budget checked after the write": (
        """      if worth > (left[rule.id] or worth) or worth > (left['*'] or worth) then
        return nil, prize
      end
      left[rule.id] = left[rule.id] and left[rule.id] - worth
      left['*'] = left['*'] and left['*'] - worth
      budget.touched = true
""",
        """      left[rule.id] = left[rule.id] and left[rule.id] - worth
      left['*'] = left['*'] and left['*'] - worth
      budget.touched = true
      if (left[rule.id] or 0) < 0 or (left['*'] or 0) < 0 then
        return nil, prize
      end
""",
    ),
    "slot reused": (
        "share.records[claim.field], share.count = record, slot",
        "share.records[claim.field] = record",
    ),
    "refund lost": (
        """    left[rule.id] = left[rule.id] and left[rule.id] + worth
    left['*'] = left['*'] and left['*'] + worth
""",
        "",
    ),
    "piece lost": (
        "  pool.remain[id] = pool.remain[id] + 1\n",
        "",
    ),
    "odds not renormalised": (
        "  pool.total = pool.total - 1\n",
        "",
    ),
}
"""What is wrong → the text, and what stands in its place."""


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(engine: Engine, bug: str) -> None:  # noqa: F811
    with pytest.raises(AssertionError, match=r"the (model|audit) says"):
        run(engine, BUGS[bug], steps=STEPS, by=20270301, phases=(Phase.generate,))
