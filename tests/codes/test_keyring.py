import json
import re
import traceback
from datetime import UTC, datetime, timedelta

import pytest

from scanner.codes import FORGED, Keyring
from scanner.codes.format import to_text
from scanner.errors import ConfigurationError

SECRET = "5ec2e7" * 10 + "5ec2"
ENTRY = {"kid": 1, "state": "live", "created": "2027-03-01T09:30:00Z", "key": SECRET}


def file(*entries):
    return json.dumps({"keys": list(entries)}).encode()


def test_a_new_keyring_mints_with_kid_1():
    ring = Keyring.new()
    (state,) = ring.states()
    assert (ring.minting_kid, state.kid, state.state, state.mints) == (1, 1, "live", True)
    assert datetime.now(UTC) - state.created < timedelta(days=1)
    assert ring.keys[0].master != Keyring.new().keys[0].master


def test_after_rotating_the_new_key_mints_and_old_codes_stay_genuine():
    old = Keyring.new()
    code = old.table().mint(1, 7, 0, 1).strip()
    ring = old.rotate()
    assert ring.minting_kid == 2
    assert [(state.kid, state.mints) for state in ring.states()] == [(1, False), (2, True)]
    assert ring.table().verify(code) >= 0
    assert ring.table().seal(1, 7, 0) != ring.table().seal(2, 7, 0)
    assert old.states()[0].mints, "a keyring is a value: rotating leaves it as it was"


def test_codes_of_a_revoked_key_are_forged():
    ring = Keyring.new().rotate()
    code = to_text(ring.table().seal(1, 7, 0)).encode()
    ring = ring.revoke(1)
    assert [state.state for state in ring.states()] == ["revoked", "live"]
    assert ring.table().verify(code) == FORGED
    assert ring.revoke(1) == ring


def test_revoking_the_minting_key_lets_the_one_before_mint():
    assert Keyring.new().rotate().revoke(2).minting_kid == 1


def test_an_unknown_key_and_the_last_live_one_are_not_revoked():
    ring = Keyring.new()
    with pytest.raises(ConfigurationError, match="no key with kid 2"):
        ring.revoke(2)
    with pytest.raises(ConfigurationError, match="kid 1 is the last live key: rotate first"):
        ring.revoke(1)
    with pytest.raises(ConfigurationError, match="kid 2 is the last live key"):
        ring.rotate().revoke(1).revoke(2)


def test_64_keys_fill_it():
    ring = Keyring.new()
    for _ in range(63):
        ring = ring.rotate()
    assert sorted(state.kid for state in ring.states()) == list(range(64))
    assert ring.minting_kid == 0
    assert ring.table().mint(0, 1, 2, 1)
    assert Keyring.parse(ring.dump()) == ring
    with pytest.raises(ConfigurationError, match="all 64 kids are used"):
        ring.rotate()


def test_the_file_reads_back_as_it_was_written():
    ring = Keyring.new().rotate().rotate().revoke(2)
    assert Keyring.parse(ring.dump()) == ring
    document = json.loads(ring.dump())
    assert set(document) == {"keys"}
    assert [set(entry) for entry in document["keys"]] == [{"kid", "state", "created", "key"}] * 3
    for entry in document["keys"]:
        assert re.fullmatch("[0-9a-f]{64}", entry["key"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["created"])


@pytest.mark.parametrize(
    "created", ["2027-03-01T17:30:00+08:00", "2027-03-01T09:30:00.000000Z", "2027-03-01t09:30:00z"]
)
def test_times_are_rfc3339(created):
    assert Keyring.parse(file(ENTRY | {"created": created})) == Keyring.parse(file(ENTRY))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the key file is not JSON in UTF-8 (line 1)"),
        (b'{"keys": [\n"' + SECRET.encode(), "the key file is not JSON in UTF-8 (line 2)"),
        (b'{"keys": "\xff' + SECRET.encode(), "the key file is not JSON in UTF-8"),
        (b'{"keys": [], "keys": []}', "the key file: an object has a member twice"),
        (b"[" * 60_000, "the key file is not JSON in UTF-8"),
        (b'{"keys": ' + b"9" * 5000 + b"}", "the key file is not JSON in UTF-8"),
        (b" " * 65_537, "the key file must be at most 65536 bytes, not 65537"),
        (b"[]", "the key file: must be an object with exactly keys"),
        (b'{"keys": [], "more": 1}', "the key file: must be an object with exactly keys"),
        (b'{"keys": {}}', "keys: must be an array"),
        (file(), "keys: none is live, so nothing could be minted; keep one live"),
        (file(SECRET), "keys[0]: must be an object with exactly kid, state, created, key"),
        (file(ENTRY, {"kid": 2}), "keys[1]: must be an object with exactly kid, state, created, key"),
        (file(ENTRY | {SECRET: 1}), "keys[0]: must be an object with exactly kid, state, created, key"),
        (file(ENTRY | {"kid": 64}), "keys[0].kid: must be a whole number from 0 to 63"),
        (file(ENTRY | {"kid": -1}), "keys[0].kid: must be a whole number from 0 to 63"),
        (file(ENTRY | {"kid": True}), "keys[0].kid: must be a whole number from 0 to 63"),
        (file(ENTRY | {"kid": SECRET}), "keys[0].kid: must be a whole number from 0 to 63"),
        (file(ENTRY | {"state": SECRET}), 'keys[0].state: must be "live" or "revoked"'),
        (file(ENTRY | {"state": []}), 'keys[0].state: must be "live" or "revoked"'),
        (file(ENTRY | {"key": SECRET[1:]}), "keys[0].key: must be 64 hexadecimal digits"),
        (file(ENTRY | {"key": SECRET[:-1] + " "}), "keys[0].key: must be 64 hexadecimal digits"),
        (file(ENTRY | {"key": SECRET + "\n"}), "keys[0].key: must be 64 hexadecimal digits"),
        (file(ENTRY | {"key": None}), "keys[0].key: must be 64 hexadecimal digits"),
        *(
            (
                file(ENTRY | {"created": created}),
                "keys[0].created: must be a time with its offset, as in 2027-03-01T09:30:00Z (RFC 3339)",
            )
            for created in (
                SECRET,
                1,
                "2027-03-01",
                "2027-03-01T09:30:00",
                "2027-02-30T09:30:00Z",
                "0001-01-01T00:00:00+23:00",
            )
        ),
        (
            file(ENTRY, ENTRY | {"key": "ab" * 32}),
            "keys: two of them have the same kid; each kid must be given once",
        ),
        (
            file(ENTRY, ENTRY | {"kid": 2}),
            "keys: two of them are the same key under different kids; rotate instead",
        ),
        (file(ENTRY | {"state": "revoked"}), "keys: none is live, so nothing could be minted; keep one live"),
    ],
)
def test_a_wrong_file_is_refused_in_words_that_hold_no_key(data, message):
    with pytest.raises(ConfigurationError) as caught:
        Keyring.parse(data)
    assert str(caught.value) == message
    assert SECRET[:8] not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_it_never_shows_its_keys():
    ring = Keyring.parse(file(ENTRY))
    for shown in (repr(ring), str(ring), repr(ring.keys[0]), repr(ring.states()), repr(ring.table())):
        assert SECRET not in shown
        assert repr(bytes.fromhex(SECRET))[2:-1] not in shown
