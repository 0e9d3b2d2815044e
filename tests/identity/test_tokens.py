"""Which tokens are accepted, and at which moment; tests/identity/test_token_form.py has their form."""

import jwt
import pytest

from scanner.identity import Member, TokenKeys, UnauthorizedError


def test_a_backends_token_is_accepted(keys, claims, now_s, pyjwt):
    token = pyjwt(claims, kid="t1")
    assert keys.verify(token, now_s=now_s) == Member("alice")


def test_what_a_token_says_of_its_member(keys, claims, now_s, pyjwt):
    token = pyjwt(claims | {"role": "worker", "tier": "gold", "seller": "shop-7", "inviter": "bob"})
    assert keys.verify(token, now_s=now_s) == Member("alice", "worker", "gold", "shop-7", "bob")


def test_claims_of_others_are_left_alone(keys, claims, now_s, pyjwt):
    token = pyjwt(claims | {"iss": "backend", "jti": "1", "iat": now_s, "name": "x" * 99, "scope": ["a"]})
    assert keys.verify(token, now_s=now_s) == Member("alice")


def test_our_token_is_accepted_by_pyjwt(keys, last_key):
    now_s = 4_000_000_000  # PyJWT has a clock of its own, so this must not have expired
    token = keys.issue(Member("alice", role="worker"), now_s=now_s, ttl_s=60)
    claims = jwt.decode(
        token,
        last_key,
        algorithms=["HS256"],
        audience="scanner",
        options={"require": ["exp"], "verify_iat": False},
    )
    assert claims == {"sub": "alice", "aud": "scanner", "iat": now_s, "exp": now_s + 60, "role": "worker"}
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT", "kid": "t2"}


def test_without_a_kid_all_keys_are_tried(keys, claims, now_s, pyjwt, first_key, last_key):
    for key in first_key, last_key:
        assert keys.verify(pyjwt(claims, key=key), now_s=now_s).id == "alice"


def test_a_kid_chooses_the_one_key(keys, claims, now_s, pyjwt, first_key, last_key):
    assert keys.verify(pyjwt(claims, key=last_key, kid="t2"), now_s=now_s).id == "alice"
    for key, kid in ((first_key, "t2"), (last_key, "t1")):
        with pytest.raises(UnauthorizedError, match="signature"):
            keys.verify(pyjwt(claims, key=key, kid=kid), now_s=now_s)


def test_a_key_of_nobody_is_refused(keys, claims, now_s, pyjwt):
    with pytest.raises(UnauthorizedError, match="signature"):
        keys.verify(pyjwt(claims, key=b"3" * 32), now_s=now_s)


@pytest.mark.parametrize("kid", ["t3", "", "T1", None, 1, ["t1"], {}])
def test_an_unknown_kid_is_refused(keys, claims, now_s, segment, sign, kid):
    token = sign(segment({"alg": "HS256", "kid": kid}), segment(claims))
    with pytest.raises(UnauthorizedError, match="kid"):
        keys.verify(token, now_s=now_s)


@pytest.mark.parametrize("alg", ["none", "None", "HS512", "HS384", "RS256", "hs256", "", None, ["HS256"], 1])
def test_the_token_does_not_choose_the_algorithm(keys, claims, now_s, segment, sign, alg):
    token = sign(segment({"alg": alg, "typ": "JWT"}), segment(claims))
    with pytest.raises(UnauthorizedError, match="HS256"):
        keys.verify(token, now_s=now_s)


@pytest.mark.parametrize(
    "header", [{}, {"typ": "JWT"}, {"alg": "HS256", "crit": ["b64"]}, {"alg": "HS256", "crit": []}]
)
def test_no_algorithm_and_critical_extensions_are_refused(keys, claims, now_s, segment, sign, header):
    with pytest.raises(UnauthorizedError, match="HS256"):
        keys.verify(sign(segment(header), segment(claims)), now_s=now_s)


def test_another_kind_of_token_is_refused(keys, claims, now_s, pyjwt):
    with pytest.raises(UnauthorizedError, match="JWT"):
        keys.verify(pyjwt(claims, typ="at+jwt"), now_s=now_s)


def test_tokens_of_other_algorithms_are_refused(keys, claims, now_s, pyjwt, segment):
    unsigned = (segment({"alg": "none"}) + b"." + segment(claims) + b".").decode()
    for token in (pyjwt(claims, key=b"1" * 64, alg="HS512"), pyjwt(claims, key=None, alg="none"), unsigned):
        with pytest.raises(UnauthorizedError):
            TokenKeys({"t1": b"1" * 64}).verify(token, now_s=now_s)


def test_it_expires_at_exp_and_not_before(keys, claims, now_s, pyjwt):
    token = pyjwt(claims | {"exp": now_s})
    assert keys.verify(token, now_s=now_s - 0.001).id == "alice"
    for late_s in (0, 0.001, 1e9):
        with pytest.raises(UnauthorizedError, match="expired"):
            keys.verify(token, now_s=now_s + late_s)


def test_it_holds_from_nbf_on(keys, claims, now_s, pyjwt):
    token = pyjwt(claims | {"nbf": now_s})
    with pytest.raises(UnauthorizedError, match="not valid yet"):
        keys.verify(token, now_s=now_s - 0.001)
    assert keys.verify(token, now_s=now_s).id == "alice"


def test_a_time_may_be_a_fraction(keys, claims, now_s, pyjwt):
    token = pyjwt(claims | {"exp": now_s + 0.5, "nbf": now_s - 0.5})
    for wrong_s, why in ((now_s - 0.75, "not valid yet"), (now_s + 0.5, "expired")):
        with pytest.raises(UnauthorizedError, match=why):
            keys.verify(token, now_s=wrong_s)
    assert keys.verify(token, now_s=now_s + 0.25).id == "alice"


@pytest.mark.parametrize("name", ["exp", "nbf"])
@pytest.mark.parametrize("value", [True, False, None, "1800000060", [], {}])
def test_times_are_numbers(keys, claims, now_s, segment, sign, name, value):
    token = sign(segment({"alg": "HS256"}), segment(claims | {name: value}))
    with pytest.raises(UnauthorizedError, match=f"{name} is missing or not a number"):
        keys.verify(token, now_s=0)


def test_exp_is_required(keys, claims, now_s, pyjwt):
    del claims["exp"]
    with pytest.raises(UnauthorizedError, match="exp is missing"):
        keys.verify(pyjwt(claims), now_s=now_s)


@pytest.mark.parametrize("aud", ["scanner", ["scanner"], ["shop", "scanner"]])
def test_it_is_meant_for_us(keys, claims, now_s, pyjwt, aud):
    assert keys.verify(pyjwt(claims | {"aud": aud}), now_s=now_s).id == "alice"


@pytest.mark.parametrize(
    "aud", ["", "Scanner", "scanner ", "xscannerx", [], ["shop"], [["scanner"]], {"scanner": 1}, None, 1]
)
def test_a_token_for_somebody_else_is_refused(keys, claims, now_s, segment, sign, aud):
    with pytest.raises(UnauthorizedError, match="aud"):
        keys.verify(sign(segment({"alg": "HS256"}), segment(claims | {"aud": aud})), now_s=now_s)


def test_a_token_for_nobody_is_refused(keys, claims, now_s, pyjwt):
    del claims["aud"]
    with pytest.raises(UnauthorizedError, match="aud"):
        keys.verify(pyjwt(claims), now_s=now_s)


def test_an_audience_of_more_than_strings_is_refused(keys, claims, now_s, pyjwt):
    # RFC 7519, section 4.1.3: an array of strings; PyJWT refuses it too.
    with pytest.raises(UnauthorizedError, match="aud"):
        keys.verify(pyjwt(claims | {"aud": ["scanner", 7]}), now_s=now_s)


def test_a_member_without_a_name_is_refused(keys, claims, now_s, pyjwt):
    with pytest.raises(UnauthorizedError, match="sub"):
        keys.verify(pyjwt(claims | {"sub": ""}), now_s=now_s)
    del claims["sub"]
    with pytest.raises(UnauthorizedError, match="sub"):
        keys.verify(pyjwt(claims), now_s=now_s)


@pytest.mark.parametrize("name", ["sub", "role", "tier", "seller", "inviter"])
def test_names_have_at_most_64_printable_characters(keys, claims, now_s, segment, sign, name):
    def token(value):
        return sign(segment({"alg": "HS256"}), segment(claims | {name: value}))

    field = "id" if name == "sub" else name
    for good in ("x", "x" * 64, "李" * 64, "a b-c@d"):
        assert getattr(keys.verify(token(good), now_s=now_s), field) == good
    for bad in ("x" * 65, "a\n", "a\0b", "\x1b[2J", "a\u202eb", "a\u00a0b", "\x7f", 7, None, True, ["x"], {}):
        with pytest.raises(UnauthorizedError, match=f"{name} must be at most 64 printable characters"):
            keys.verify(token(bad), now_s=now_s)
