"""What JetStream answers to the messages of a wave, and what else may come in its place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.queue.bridges.nats_wave import Wave


def error(code: int, description: str) -> bytes:
    return json.dumps(
        {"type": "…", "error": {"code": 400, "err_code": code, "description": description}}
    ).encode()


@pytest.mark.parametrize("name", ["scans", "error"])
def test_an_acknowledgement_settles(name):
    wave = Wave(1, 2)
    wave.answer(0, json.dumps({"stream": name, "seq": 7, "duplicate": True}).encode())
    assert list(wave.open) == [1]


def test_an_error_leaves_it_open_and_is_told_on_one_short_line():
    wave = Wave(1, 1)
    wave.answer(0, error(10077, "maximum\n\x1b[2Jmessages " + "x" * 5000))
    assert list(wave.open) == [0]
    assert wave.reason.startswith("maximum [2Jmessages x")
    assert len(wave.reason) <= 300


def test_what_it_will_never_take_is_refused_once():
    wave = Wave(1, 2)
    for _ in range(2):
        wave.answer(1, error(10054, "message size exceeds maximum allowed"))
    assert wave.never == [(1, "message size exceeds maximum allowed")]
    assert list(wave.open) == [0]


async def test_an_answer_that_comes_twice_stands_for_no_other():
    wave = Wave(1, 2)
    for _ in range(5):
        wave.answer(0, error(10077, "maximum messages exceeded"))
    wave.answer(7, b'{"seq": 1}')
    await wave.wait(0.01)
    assert not wave.is_silent
    assert list(wave.open) == [0, 1]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "err_code", "description", "stream"]), inner, max_size=3)
    ),
)


@given(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_is_no_acknowledgement_is_none(data):
    wave = Wave(1, 1)
    wave.answer(0, data)
    assert list(wave.open) == [0]
    assert wave.reason
