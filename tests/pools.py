"""Pools of a campaign file, in a line or two each.

pool("lucky", "deck", prize("phone", "physical", value="7999.00", stock=3), points(7), budget="500.00")
"""

import json


def pool(id: str, draw: str, *prizes: str, **more: object) -> str:
    """``more`` are further keys of the pool."""
    return "".join(("\n[[pool]]", _lines({"id": id, "draw": draw} | more), *prizes))


def prize(id: str, kind: str, **more: object) -> str:
    return "[[pool.prize]]" + _lines({"id": id, "kind": kind} | more)


def points(amount: int, **more: object) -> str:
    return prize(f"p{amount}", "points", amount=amount, **more)


def _lines(values: dict[str, object]) -> str:
    return "\n" + "".join(f"{name} = {_value(value)}\n" for name, value in values.items())


def _value(value: object) -> str:
    """Text, numbers and lists are written alike in TOML and JSON, tables are not."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_value(one)}" for name, one in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False)
