from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scanner.codes.carriers import (
    Carrier,
    NoCodeError,
    digital_link,
    gtin_check_digit,
    read,
    url_for,
    valid_gtin14,
)

CODE, GS1, GTIN = "2W4WWNA7XW7FAJKB9WWYZFR7", "FwnOVUfvDvVKa085778H", "06901234567892"
RAW = bytes.fromhex("1709ce5547ef0ef54a6b4f39efbf07")
BARE = Carrier(CODE.encode(), False, None)
LINK = Carrier(GS1.encode(), True, GTIN)
URL = f"https://x.cn/c/{CODE}"
DIGITAL_LINK = f"https://id.x.cn/01/{GTIN}/21/{GS1}"


@pytest.mark.parametrize(
    "text",
    [
        CODE,
        f"  {CODE}\r\n",
        URL,
        f"http://x.cn/{CODE}",
        f"HTTPS://X.CN/C/{CODE}",
        f"{URL}/",
        f"{URL}#top",
        f"{URL}?from=poster#top",
        f"{URL}?q=https%3A%2F%2Fx.cn",
        f"https://x.cn:8443/a/b/01/{CODE}",
        f"https://油漆.cn/扫码/{CODE}",
        f"https://x.cn/?c={CODE}",
        f"https://x.cn?c={CODE}",
        f"https://x.cn/index.html?a=1&c={CODE}&b=2#c",
        f"https://x.cn/?c={CODE}&c=other",
        f"https://x.cn/{CODE}?c=cn",
        quote(URL, safe=""),
        quote(URL, safe="").lower().replace(CODE.lower(), CODE),
        quote(f"https://x.cn/?c={CODE}", safe=""),
        f"https://mp.x.cn/open?q={quote(URL, safe='')}",
        f"https://mp.x.cn/open?scene=1&q={quote(f'https://x.cn/?c={CODE}&a=b', safe='')}",
    ],
)
def test_a_code_is_found(text):
    assert read(text) == BARE


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (CODE.lower(), CODE.lower()),
        ("2W4W-WNA7-XW7F-AJKB-9WWY-ZFR7", "2W4W-WNA7-XW7F-AJKB-9WWY-ZFR7"),
        ("2W4W WNA7 XW7F AJKB 9WWY ZFR7 ", "2W4W WNA7 XW7F AJKB 9WWY ZFR7"),
        ("https://x.cn/2W4W-WNA7-XW7F-AJKB-9WWY-ZFR7", "2W4W-WNA7-XW7F-AJKB-9WWY-ZFR7"),
        ("https://x.cn/2W4WWNA7XW7F%20AJKB9WWYZFR7", "2W4WWNA7XW7F AJKB9WWYZFR7"),
        ("https://x.cn/?c=2W4WWNA7XW7F+AJKB9WWYZFR7", "2W4WWNA7XW7F AJKB9WWYZFR7"),
    ],
)
def test_a_code_is_left_as_it_was_typed(text, code):
    assert read(text) == Carrier(code.encode(), False, None)


@pytest.mark.parametrize(
    "text",
    [
        DIGITAL_LINK,
        f"{DIGITAL_LINK}/",
        f"{DIGITAL_LINK}?linkType=gs1:pip#x",
        f"HTTPS://id.x.cn/01/{GTIN}/21/{GS1}",
        f"https://x.cn/brand/cn/01/{GTIN}/21/{GS1}",
        f"https://x.cn/01/dir/01/{GTIN}/21/{GS1}",
        f"https://x.cn/01/{GTIN}/22/2A/21/{GS1}",
        f"https://x.cn/01/{GTIN}/10/LOT-1/21/{GS1}",
        f"https://x.cn/01/{GTIN}/22/2A/10/LOT-1/21/{GS1}",
        f"https://x.cn/01/{GTIN}/22/10/10/21/21/{GS1}",
        f"https://x.cn/01/{GTIN}/10/A%2FB%21/21/{GS1}",
        f"https://x.cn/01/{GTIN}/10/{'L' * 20}/21/{GS1}",
        quote(DIGITAL_LINK, safe=""),
        f"https://mp.x.cn/open?q={quote(DIGITAL_LINK, safe='')}",
    ],
)
def test_a_digital_link_is_found(text):
    assert read(text) == LINK


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "hello",
        GS1,
        CODE[1:],
        f"{CODE}0",
        f"{CODE[1:]}U",
        f"{CODE}{'-' * 41}",
        CODE.replace("W", "Ｗ"),
        f"ftp://x.cn/{CODE}",
        f"javascript:{CODE}",
        f"https:/x.cn/{CODE}",
        f"https:///{CODE}",
        f"https://{CODE}",
        f"httpſ://x.cn/{CODE}",
        f"//x.cn/{CODE}",
        f"x.cn/{CODE}",
        f"{URL}//",
        f"https://x.cn/{CODE}/more",
        f"https://x.cn/#{CODE}",
        f"https://x.cn/?d={CODE}",
        f"https://x.cn/?c={GS1}",
        # one level of wrapping at most
        quote(quote(URL, safe=""), safe=""),
        f"https://a.cn/?q={quote(quote(URL, safe=''), safe='')}",
        "https://a.cn/?q=" + quote("https://b.cn/?q=" + quote(URL, safe=""), safe=""),
        quote("https://b.cn/?q=" + quote(URL, safe=""), safe=""),
        # not the GTIN's check digit, not 14 digits
        f"https://x.cn/01/06901234567893/21/{GS1}",
        f"https://x.cn/01/6901234567892/21/{GS1}",
        f"https://x.cn/01/٠٦٩٠١٢٣٤٥٦٧٨٩٢/21/{GS1}",
        # another order, an AI that does not belong, a value missing or too long or of other characters
        f"https://x.cn/01/{GTIN}/10/L/22/2A/21/{GS1}",
        f"https://x.cn/01/{GTIN}/21/{GS1}/10/L",
        f"https://x.cn/01/{GTIN}/17/271231/21/{GS1}",
        f"https://x.cn/01/{GTIN}/10//21/{GS1}",
        f"https://x.cn/01/{GTIN}/10/{'L' * 21}/21/{GS1}",
        f"https://x.cn/01/{GTIN}/10/L%20/21/{GS1}",
        f"https://x.cn/01/{GTIN}/10/%FF/21/{GS1}",
        f"https://x.cn/01/{GTIN}/21/{GS1[1:]}",
        f"https://x.cn/01/{GTIN}/21/{GS1}A",
        f"https://x.cn/01/{GTIN}/21/{GS1[1:]}!",
        f"https://x.cn/01/{GTIN}",
        f"https://x.cn/21/{GS1}",
        f"/01/{GTIN}/21/{GS1}",
    ],
)
def test_no_code_is_said(text):
    with pytest.raises(NoCodeError, match="there is no code in the text"):
        read(text)


def test_at_most_512_characters_are_read():
    assert read(f"{URL}?{'x' * 512}"[:512]) == BARE
    with pytest.raises(NoCodeError, match="at most 512 characters, not 513"):
        read(f"{URL}?{'x' * 512}"[:513])


# fmt: off
pieces = st.sampled_from([
    "https://", "HTTP://", "%3A%2F%2F", "x.cn", "/", "?", "#", "&", "%", "q=", "c=", "01/", "10/", "21/",
    "22/", CODE, GS1, GTIN, "1", "-", " ", "\n", "[", "]", "@", "\ud800", "%ff", "%00", "\x00", "İ",
])
# fmt: on


@given(st.one_of(st.text(max_size=600), st.lists(pieces, max_size=30).map("".join)))
@example("http://[")
@example("https://x.cn/\ud800")
@example("https%3a%2f%2f%ff%fe")
@settings(deadline=None, max_examples=500)
def test_any_text_is_read_or_refused(text):
    try:
        carrier = read(text)
    except NoCodeError:
        return
    assert len(carrier.code) <= 64
    assert (carrier.gtin is not None) == carrier.gs1


@pytest.mark.parametrize(
    "prefix", ["https://x.cn/c", "https://x.cn/c/", "HTTPS://X.CN", "https://x.cn/s?a=1&c="]
)
def test_a_url_is_read_as_the_code_it_carries(prefix):
    assert read(url_for(prefix, CODE)) == BARE
    assert url_for(prefix, CODE).startswith(prefix)


@pytest.mark.parametrize("prefix", ["https://x.cn/c", "https://x.cn/c/", "https://id.x.cn/01/01"])
def test_a_digital_link_is_read_as_the_code_it_carries(prefix):
    assert read(digital_link(prefix, GTIN, RAW)) == LINK


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "x.cn",
        "ftp://x.cn",
        "https://",
        "https://x.cn/#",
        "https://x.cn/ c",
        "https://x.cn/\n",
        'https://x.cn/"',
        "https://x.cn/?d=",
        f"https://x.cn/{CODE.lower()}?c=",
        "https://x.cn/" + "c" * 500,
    ],
)
def test_a_prefix_that_would_lose_the_code_is_refused(prefix):
    with pytest.raises(ValueError, match="prefix"):
        url_for(prefix, CODE)
    with pytest.raises(ValueError, match="prefix"):
        digital_link(prefix + "?a=", GTIN, RAW)


def test_a_digital_link_needs_a_gtin_and_a_code():
    with pytest.raises(ValueError, match="would not be read"):
        digital_link("https://x.cn", "06901234567893", RAW)
    with pytest.raises(ValueError, match="15 bytes"):
        digital_link("https://x.cn", GTIN, RAW[1:])


# GS1's own worked example (General Specifications, section 7.9) and printed articles, GTIN-8 to GTIN-14.
@pytest.mark.parametrize(
    "gtin", ["6291041500213", "4006381333931", "96385074", "036000291452", GTIN, "00000000000000"]
)
def test_check_digits(gtin):
    assert gtin_check_digit(gtin[:-1]) == int(gtin[-1])


@pytest.mark.parametrize("body", ["", "12a", "１２", "-1", " 1"])
def test_a_check_digit_is_of_digits(body):
    with pytest.raises(ValueError, match="digits"):
        gtin_check_digit(body)


def test_a_gtin14_has_14_digits_of_which_the_last_one_checks():
    assert valid_gtin14(GTIN)
    assert not any(valid_gtin14(GTIN[:-1] + digit) for digit in "013456789")
    for wrong in ("", GTIN[1:], f"0{GTIN}", f"{GTIN[:-1]} ", "٠٦٩٠١٢٣٤٥٦٧٨٩٢"):
        assert not valid_gtin14(wrong)
