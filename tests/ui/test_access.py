"""Who may look: the token's bearer, on this machine, and no page of another origin. Nothing can be changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fapo.ui.access import Access
from fapo.ui.app import create_app
from fapo.ui.library import Library
from fapo.ui.trace_index import TraceIndex

PORT = 8123
BASE = f"http://127.0.0.1:{PORT}"


@pytest.fixture
def access() -> Access:
    return Access(PORT)


@pytest.fixture
def client(access: Access, tmp_path: Path) -> TestClient:
    library = Library(tmp_path, TraceIndex(tmp_path / ".cache" / "traces.sqlite"), include_test=False)
    return TestClient(create_app(library, access), base_url=BASE, follow_redirects=False)


def enter(client: TestClient, access: Access) -> None:
    assert client.get("/", params={"token": access.token}).status_code == 303


def test_without_the_token_nothing_is_shown(client: TestClient) -> None:
    for path in ("/", "/assets/ui.js", "/run/any", "/stream/runs", "/no/such/page"):
        answer = client.get(path)
        assert answer.status_code == 403
        assert "fapo ui" in answer.text


def test_the_token_becomes_a_cookie_and_leaves_the_address(client: TestClient, access: Access) -> None:
    answer = client.get("/", params={"token": access.token, "q": "x"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?q=x")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("token", ["", "wrong", "ü", "a" * 10_000])
def test_a_wrong_token_opens_nothing(client: TestClient, token: str) -> None:
    assert client.get("/", params={"token": token}).status_code == 403
    assert client.get("/").status_code == 403


def test_the_ticket_of_the_browser_is_good_once(client: TestClient, access: Access) -> None:
    ticket = access.ticket
    assert ticket is not None
    assert client.get("/", params={"token": ticket}).status_code == 303
    assert client.get("/", params={"token": ticket}).status_code == 403
    assert ticket != access.token


def test_a_redirect_after_the_token_stays_on_this_server(client: TestClient, access: Access) -> None:
    answer = client.get(f"{BASE}//evil.example/", params={"token": access.token})
    assert answer.headers["location"] == "/evil.example/"


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:80",
                                  f"127.0.0.1.evil.example:{PORT}", f"[::1]:{PORT}", ""])  # fmt: skip
def test_another_host_name_is_refused_as_after_dns_rebinding(client: TestClient, access: Access, host: str) -> None:
    enter(client, access)
    assert client.get("/", headers={"host": host}).status_code == 421
    assert client.get("/", headers={"host": host}, params={"token": access.token}).status_code == 421


def test_localhost_is_a_name_of_this_machine(client: TestClient, access: Access) -> None:
    enter(client, access)
    cookie = f"{access.cookie}={access.token}"
    assert client.get("/", headers={"host": f"localhost:{PORT}", "cookie": cookie}).status_code == 200


@pytest.mark.parametrize("headers", [
    {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": f"http://127.0.0.1:{PORT + 1}"},
    {"origin": f"https://127.0.0.1:{PORT}"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
])  # fmt: skip
def test_pages_of_another_origin_may_not_ask(client: TestClient, access: Access, headers: dict[str, str]) -> None:
    enter(client, access)
    for path in ("/", "/stream/runs", "/assets/ui.js"):
        assert client.get(path, headers=headers).status_code == 403
    assert client.get("/", headers=headers, params={"token": access.token}).status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_but_reading_is_possible(client: TestClient, access: Access, method: str) -> None:
    enter(client, access)
    assert client.request(method, "/").status_code == 405


def test_every_answer_carries_a_strict_policy(client: TestClient, access: Access) -> None:
    enter(client, access)
    for path in ("/", "/assets/ui.css", "/assets/echarts.js", "/run/none"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers


def test_each_server_has_a_token_of_its_own(access: Access) -> None:
    other = Access(PORT)
    assert len({access.token, access.ticket, other.token, other.ticket}) == 4
    assert not access.knows(f"{access.cookie}={other.token}")
    assert not access.knows("=; ;;; nonsense")


@pytest.mark.parametrize("path", ["/assets/../app.py", "/assets/%2e%2e/app.py", "/assets/..%2fapp.py", "/assets/"])
def test_only_assets_are_served_as_files(client: TestClient, access: Access, path: str) -> None:
    enter(client, access)
    assert client.get(path).status_code == 404
