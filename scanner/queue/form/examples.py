"""An entry of each type, for the descriptions. The tests hold them to the schemas."""

from typing import Any

import orjson

_AT = 1_804_066_200_123
_CAMPAIGN = "spring-2027"
_RULES = "5f2b9c1de07a4386"
_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_POINTS = {"pool": "points", "prize": "p50", "kind": "points", "amount": 50, "beneficiary": "member"}
_CASH = {
    **{"pool": "lucky", "prize": "cash-small", "kind": "cash", "amount": 88, "currency": "CNY"},
    **{"game": "scratch-card", "beneficiary": "member"},
}
_MEMBER = {"at": _AT, "campaign": _CAMPAIGN, "rules": _RULES, "member": "m-1", "trace": _TRACE}
_CHANGE = {"at": _AT, "by": "operator", "request": "change-17"}

_VALUES: dict[str, dict[str, Any]] = {
    "scan.accepted": {
        **_MEMBER,
        **{"id": "XXVFJD9EKA69BFS9", "product": "06901234567892", "lot": 17, "serial": 789},
        **{"channel": "weixin-mini-program", "seller": "shop-17", "loc": {"lat": 31.23, "lng": 121.47}},
        **{"awards": [_POINTS, _CASH], "withheld": ["lucky/phone"]},
    },
    "draw.made": {
        **_MEMBER,
        **{"id": "7R8GK95HG1AG1KCA", "pool": "wheel", "request": "tap-17", "by": "crm", "kid": 5},
        **{"paid": {"points": 100}, "awards": [], "blanks": ["wheel/thanks"]},
    },
    "grant.made": {
        **_MEMBER,
        **{"id": "BAZG3BHD70BCAKAP", "pool": "gift", "request": "login-m-1", "by": "crm", "kid": 5},
        **{"awards": [_CASH | {"pool": "gift"}], "expires": _AT + 604_800_000},
    },
    "grant.expired": {
        **{"at": _AT, "id": "BAZG3BHD70BCAKAP", "campaign": _CAMPAIGN, "pool": "gift", "member": "m-1"},
        **{"prize": "cash-small", "amount": 88},
    },
    "share.claimed": {
        **_MEMBER,
        **{"id": "2W4WWNA7XW7FAJKB", "pool": "friends", "share": "XXVFJD9EKA69BFS9", "lot": 17},
        **{"serial": 789, "kid": 5, "giver": "m-1", "member": "m-2", "slot": 1},
        **{"awards": [_POINTS], "giver_awards": [_POINTS | {"beneficiary": "giver"}]},
    },
    "campaign.applied": {
        **{"at": _AT, "by": "operator", "campaign": _CAMPAIGN, "no": 1, "rules": _RULES},
        **{"file": '{"campaign":{"id":"spring-2027"}}'},
    },
    "campaign.paused": {**_CHANGE, "campaign": _CAMPAIGN},
    "campaign.resumed": {**_CHANGE, "campaign": _CAMPAIGN},
    "pool.topped_up": {**_CHANGE, "campaign": _CAMPAIGN, "pool": "lucky", "prize": "cash-small", "n": 1000},
    "budget.topped_up": {**_CHANGE, "campaign": _CAMPAIGN, "pool": "lucky", "amount": 100_000},
    "lot.registered": {
        **{"at": _AT, "by": "operator", "lot": 17, "kid": 5, "size": 100_000, "product": "06901234567892"},
        **{"campaign": _CAMPAIGN, "pin": 0},
    },
    "lot.activated": {**_CHANGE, "lot": 17, "from": 0, "to": 99_999},
    "lot.blocked": {**_CHANGE, "lot": 17},
    "lot.moved": {**_CHANGE, "lot": 17, "from_campaign": _CAMPAIGN, "campaign": "summer-2027"},
    "lot.assigned": {**_CHANGE, "lot": 17, "seller": "shop-17"},
}


def _text(value: Any) -> str:
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value)


EXAMPLES: dict[str, dict[str, str]] = {
    type: {"type": type} | {name: _text(value) for name, value in values.items()}
    for type, values in _VALUES.items()
}
"""By type, as they stand in the stream."""
EXAMPLE_ENTRY = f"{_AT}-0"
