"""Examples of requests and answers, by path (``openapi.py``)."""

from typing import Any, Final

_CASH = {
    "pool": "lucky",
    "prize": "cash-small",
    "kind": "cash",
    "amount": 88,
    "currency": "CNY",
    "game": "scratch-card",
    "beneficiary": "member",
}
_POINTS = {"pool": "wheel", "prize": "p50", "kind": "points", "amount": 50, "beneficiary": "member"}
_SHARED = {"pool": "friends", "prize": "p5", "kind": "points", "amount": 5, "beneficiary": "member"}
_LOCKED = {"pool": "locked", "prize": "cash-5", "kind": "cash", "amount": 500, "currency": "CNY"}
_SCANNED = {
    "outcome": "accepted",
    "scan_id": "XXVFJD9EKA69BFS9",
    "replayed": False,
    "campaign": "spring-2027",
    "product": "06901234567892",
    "scanned_at": "2027-03-01T09:30:00.123Z",
    "awards": [_CASH],
}

EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "/v1/scans": {
        "request": {
            "code": "https://s.example/c/2W4WWNA7XW7FAJKB9WWYZFR7",
            "channel": "weixin-mini-program",
            "location": {"lat": 31.23, "lng": 121.47},
        },
        "answer": _SCANNED,
    },
    "/v1/scans/batch": {
        "request": {
            "scans": [
                {"member": "m-1", "code": "2W4WWNA7XW7FAJKB9WWYZFR7", "channel": "shop"},
                {"member": "m-2", "code": "000000000000000000000000"},
            ]
        },
        "answer": {
            "results": [
                {**_SCANNED, "status": 200},
                {
                    "type": "urn:scanner:unknown_code",
                    "title": "This code is not known",
                    "status": 404,
                    "outcome": "unknown_code",
                },
            ]
        },
    },
    "/v1/draws": {
        "request": {
            "campaign": "spring-2027",
            "pool": "wheel",
            "request_id": "order-4711",
            "member": "m-1",
            "paid": {"points": 100},
        },
        "answer": {
            "outcome": "accepted",
            "draw_id": "7R8GK95HG1AG1KCA",
            "replayed": False,
            "campaign": "spring-2027",
            "pool": "wheel",
            "drawn_at": "2027-03-01T09:30:00.123Z",
            "awards": [_POINTS],
        },
    },
    "/v1/grants": {
        "request": {
            "request_id": "login-m-1",
            "campaign": "spring-2027",
            "pool": "locked",
            "member": "m-1",
        },
        "answer": {
            "outcome": "granted",
            "grant_id": "7R8GK95HG1AG1KCA",
            "replayed": False,
            "campaign": "spring-2027",
            "pool": "locked",
            "member": "m-1",
            "granted_at": "2027-03-01T09:30:00.123Z",
            "expires_at": "2027-03-08T09:30:00.123Z",
            "awards": [{**_LOCKED, "beneficiary": "member"}],
        },
    },
    "/v1/shares/{token}/claims": {
        "request": {"channel": "weixin-mini-program"},
        "answer": {
            "outcome": "accepted",
            "claim_id": "7R8GK95HG1AG1KCA",
            "replayed": False,
            "campaign": "spring-2027",
            "pool": "friends",
            "opened_at": "2027-03-01T09:30:00.123Z",
            "awards": [_SHARED],
        },
    },
    "/v1/codes/{code}": {
        "answer": {
            "outcome": "genuine",
            "product": "06901234567892",
            "title": "Interior paint, 5 l",
            "url": "https://paints.example/interior",
            "active": True,
            "scanned": True,
            "first_scanned_at": "2027-03-01T09:30:00.123Z",
            "by_you": False,
        },
    },
}
