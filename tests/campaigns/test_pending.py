"""What is checked but not drawn yet is named, and keeps a file from being compiled."""

import pytest

from scanner.campaigns import compile_plan, not_drawn_yet, parse
from scanner.errors import CampaignError

LATER = "checked but not drawn by this version"


def test_a_file_of_this_version_has_nothing_pending(base, read, demo):
    assert not_drawn_yet(read(base)) == []
    assert not_drawn_yet(parse(demo)) == []


SPREAD = {"min": "0.50", "max": "2.00", "total": "200.00"}


@pytest.mark.parametrize(
    ("where", "key", "value", "message"),
    [
        (None, "limits", {"total": 5}, f"limits: limits are {LATER}; remove them to apply this file"),
        (None, "limits", {}, f"limits: limits are {LATER}; remove them to apply this file"),
        (1, "budget", "9.00", f"pool[1].budget: budgets are {LATER}; remove it to apply this file"),
        (1, "entry", {}, f"pool[1].entry: entry conditions are {LATER}; remove them to apply this file"),
        (
            1,
            "beneficiary",
            "seller",
            f"pool[1].beneficiary: beneficiaries other than the member are {LATER};"
            " remove it to apply this file",
        ),
        (
            (1, 1),
            "amount",
            SPREAD,
            f"pool[1].prize[1].amount: amounts with min, max and total are {LATER};"
            " write one amount to apply this file",
        ),
    ],
)
def test_each_thing_of_a_later_version_is_named(base, read, where, key, value, message):
    match where:
        case None:
            base[key] = value
        case int():
            base["pool"][where][key] = value
        case (pool, prize):
            base["pool"][pool]["prize"][prize][key] = value
    file = read(base)
    assert not_drawn_yet(file) == [message]
    with pytest.raises(CampaignError) as caught:
        compile_plan(file, no=1, previous=None)
    assert str(caught.value) == message


def test_the_contracts_example_names_all_of_them(paint):
    assert [message.partition(":")[0] for message in not_drawn_yet(parse(paint))] == [
        "limits",
        "pool[1].entry",
        "pool[1].budget",
        "pool[1].prize[2].amount",
        "pool[3].beneficiary",
    ]
