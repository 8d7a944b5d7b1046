"""Who is let in at the API and the page: by name, and from which page."""

import pytest

from cutis.serve.door import FOREIGN, UNKNOWN, Door, Shut


def shut(headers: dict[str, str], **scope: str) -> Shut | None:
    return Door(["Ward.example", "[fe80::1]"]).shut({**scope, "headers": [(k.encode(), v.encode()) for k, v in headers.items()]})


@pytest.mark.parametrize("host", ["localhost:8501", "LocalHost", "127.0.0.1", "[::1]:80", "ward.example:80", "[FE80::1]:8000"])
def test_names_of_this_machine_and_named_ones_are_let_in(host: str) -> None:
    assert shut({"host": host}) is None


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.7:80", "[::1", "::1", "localhost:", "u@localhost", "*"],
)
def test_fault_s6_other_names_are_dns_rebinding(host: str) -> None:
    assert shut({"host": host}) == UNKNOWN


def test_fault_s6_no_name_at_all() -> None:
    assert shut({}) == UNKNOWN


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://[::1", "http://localhost:9999", "http://ward.example"])
def test_fault_s6_pages_of_other_sites_are_told_by_their_origin(origin: str) -> None:
    assert shut({"host": "localhost:8501", "origin": origin}, method="POST") == FOREIGN
    for own in ("http://localhost:8501", "https://localhost:8501"):  # a proxy may speak TLS before it
        assert shut({"host": "localhost:8501", "origin": own}) is None


@pytest.mark.parametrize(
    ("site", "mode", "method", "verdict"),
    [
        ("none", "navigate", "GET", None),
        ("same-origin", "cors", "POST", None),
        ("cross-site", "no-cors", "GET", FOREIGN),
        ("same-site", "cors", "POST", FOREIGN),
        ("cross-site", "navigate", "POST", FOREIGN),
        ("cross-site", "navigate", "GET", None),  # a link
        ("cross-site", "websocket", "", FOREIGN),
    ],
)
def test_fault_s6_a_link_may_lead_here_and_no_more(site: str, mode: str, method: str, verdict: Shut | None) -> None:
    scope = {"method": method} if method else {}
    assert shut({"host": "localhost", "sec-fetch-site": site, "sec-fetch-mode": mode}, **scope) == verdict


def test_any_name_may_be_allowed_but_never_another_page() -> None:
    anyone = Door(["*"])
    assert anyone.shut({"headers": [(b"host", b"some.where:80")]}) is None
    assert anyone.shut({"headers": [(b"host", b"some.where:80"), (b"origin", b"http://evil.example")]}) == FOREIGN
