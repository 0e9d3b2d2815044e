"""How webhooks are signed: as Standard Webhooks has it, so that others' libraries verify them."""

import base64
import hashlib
import hmac
import json
import re
import time
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import ConfigurationError
from scanner.queue.bridges.signing import (
    SignatureError,
    new_secret,
    parse_secret,
    parse_secrets,
    sign,
    verify,
)

SECRET, OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + base64.b64encode(b"o" * 32).decode()
ID, AT = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
PAGE = Path(__file__).parents[2] / "docs" / "bridges.md"
BODY = b'{"test": 2432232314}'


def signed(*secrets: str, id: str = ID, at: int = AT, body: bytes = BODY) -> dict[str, str]:
    return sign([parse_secret(secret) for secret in secrets or (SECRET,)], id, at, body)


def test_the_specifications_own_vector():
    assert signed()["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_is_signed_is_id_time_and_body():
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    mac = hmac.new(key, f"{ID}.{AT}.".encode() + BODY, hashlib.sha256).digest()
    assert signed() == {
        "webhook-id": ID,
        "webhook-timestamp": str(AT),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def test_what_was_signed_verifies_and_tells_its_id():
    assert verify(SECRET, signed(), BODY, now=AT) == ID
    assert verify(SECRET, {name.title(): value for name, value in signed().items()}, BODY, now=AT) == ID


def test_while_a_secret_is_replaced_either_will_do():
    both = signed(SECRET, OTHER)
    assert len(both["webhook-signature"].split(" ")) == 2
    for secret in (SECRET, OTHER, [OTHER, SECRET]):
        assert verify(secret, both, BODY, now=AT) == ID
    assert verify([OTHER, SECRET], signed(SECRET), BODY, now=AT) == ID


@pytest.mark.parametrize("age", [-301, 301, 86_400])
def test_what_is_too_old_or_too_new_is_not(age):
    with pytest.raises(SignatureError, match="s ago"):
        verify(SECRET, signed(), BODY, now=AT + age)


@pytest.mark.parametrize("age", [-300, 0, 300])
def test_what_is_within_the_tolerance_is(age):
    assert verify(SECRET, signed(), BODY, now=AT + age) == ID


def test_the_tolerance_is_the_callers():
    assert verify(SECRET, signed(), BODY, now=AT + 3000, tolerance_s=3600) == ID
    with pytest.raises(SignatureError):
        verify(SECRET, signed(), BODY, now=AT + 11, tolerance_s=10)


@given(st.sampled_from(["webhook-id", "webhook-timestamp", "body"]), st.data())
def test_whatever_is_changed_is_noticed(part, data):
    headers, body = signed(), BODY
    old = body.decode() if part == "body" else headers[part]
    place = data.draw(st.integers(0, len(old) - 1))
    letters = st.characters(codec="ascii", exclude_characters=old[place])
    new = old[:place] + data.draw(letters) + old[place + 1 :]
    if part == "body":
        body = new.encode()
    else:
        headers[part] = new
    with pytest.raises(SignatureError):
        verify(SECRET, headers, body, now=AT)


@pytest.mark.parametrize(
    "signature", ["", "v1", "v1,", "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1,é", "x" * 100_000]
)
def test_what_is_no_signature_of_ours_is_refused(signature):
    with pytest.raises(SignatureError, match="no signature"):
        verify(SECRET, {**signed(), "webhook-signature": signature}, BODY, now=AT)


def test_another_secret_does_not_verify():
    with pytest.raises(SignatureError):
        verify(OTHER, signed(), BODY, now=AT)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_is_missing_is_named(name):
    headers = signed()
    del headers[name]
    with pytest.raises(SignatureError, match=name):
        verify(SECRET, headers, BODY, now=AT)


@pytest.mark.parametrize("time", ["", "-1", "1e9", "soon", "1" * 13, "١"])
def test_a_time_that_is_none_is_refused(time):
    with pytest.raises(SignatureError, match="no time"):
        verify(SECRET, {**signed(), "webhook-timestamp": time}, BODY, now=AT)


def test_a_new_secret_is_one_and_never_the_same():
    assert len(parse_secret(new_secret())) == 32
    assert new_secret() != new_secret()


@pytest.mark.parametrize(
    "text", ["", "secret", "whsec_", "whsec_&&&", "whsec_c2hvcnQ=", "whsec_" + "A" * 100]
)
def test_a_secret_that_is_none_is_refused_and_not_told(text):
    with pytest.raises(ConfigurationError, match="webhook secret") as refused:
        parse_secret(text)
    assert len(text) < 7 or text not in str(refused.value)


def test_one_secret_or_two_and_no_more():
    assert parse_secrets(f"{SECRET}\n") == (parse_secret(SECRET),)
    assert parse_secrets(f"{SECRET}\n{OTHER}\n") == (parse_secret(SECRET), parse_secret(OTHER))
    for text in ("", "\n", f"{SECRET} {OTHER} {SECRET}"):
        with pytest.raises(ConfigurationError, match="one webhook secret, or two"):
            parse_secrets(text)


async def test_the_receiver_of_the_documentation_takes_each_event_once(tmp_path):
    """It is run as it stands there: a wrong signature, an old one and a repeated one have no effect."""
    [code] = re.findall(r"```python\n(# receiver\.py\n.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    names: dict[str, object] = {"__name__": "receiver"}
    exec(compile(code, "receiver.py", "exec"), names)
    given: list[str] = []
    app = names["make_app"]([SECRET], tmp_path / "seen.sqlite", lambda event: given.append(event["id"]))
    now = int(time.time())
    keys = [parse_secret(SECRET)]
    event = json.dumps({"id": "ONE", "data": {}}).encode()
    async with TestClient(TestServer(app)) as client:

        async def post(headers, body=event):
            async with client.post("/hooks/scans", data=body, headers=headers) as response:
                return response.status

        right = sign(keys, "ONE", now, event)
        assert await post({**right, "webhook-signature": "v1,AAAA"}) == 401
        assert await post(right, event + b" ") == 401
        assert await post(sign(keys, "ONE", now - 600, event)) == 401
        assert await post({}) == 401
        assert given == []
        assert await post(right) == 204
        assert await post(right) == 204  # as it was, once more
        assert await post(sign(keys, "ONE", now + 1, event)) == 204  # tried again: signed anew
        assert given == ["ONE"]
