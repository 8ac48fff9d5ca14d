"""The way out of the agent's sandbox to the Messages API: who may use it for what, and what comes back."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web

from fapo.agent.credentials import Key
from fapo.agent.proxy import ApiProxy, Scrubber, proxy_for
from fapo.errors import CredentialsError
from tests.agent.loopback import TOKEN, ask, asking, closed_port, error_type, opened, say, serving

SECRET = "s3cr3t-of-the-user"


def api_proxy(url: str, *, variable: str = "ANTHROPIC_API_KEY", **environment: str) -> ApiProxy:
    return ApiProxy(Key(variable, SECRET, url).current, TOKEN, environment)


# -- ApiProxy: what it lets through


@pytest.mark.parametrize(
    "headers",
    [
        {"x_api_key": ""},
        {"x_api_key": "wrong"},
        {"x_api_key": SECRET},
        {"x_api_key": "the-tokén"},
        {"x_api_key": "", "Authorization": "Bearer wrong"},
        {"x_api_key": "", "Authorization": f"Basic {TOKEN}"},
        {"x_api_key": "", "Authorization": TOKEN},
    ],
)
def test_nothing_is_forwarded_without_the_token(headers: dict[str, str]) -> None:
    async def scene() -> None:
        async with serving() as endpoint:
            status, text = await ask(api_proxy(endpoint.url), **headers)
            assert (status, error_type(text)) == (401, "authentication_error")
            assert endpoint.asked == []

    asyncio.run(scene())


@pytest.mark.parametrize("headers", [{"x_api_key": TOKEN}, {"x_api_key": "", "Authorization": f"Bearer {TOKEN}"}])
@pytest.mark.parametrize(
    ("variable", "header"),
    [
        ("ANTHROPIC_API_KEY", ("x-api-key", SECRET)),
        ("ANTHROPIC_AUTH_TOKEN", ("authorization", f"Bearer {SECRET}")),
        ("CLAUDE_CODE_OAUTH_TOKEN", ("authorization", f"Bearer {SECRET}")),
    ],
)
def test_the_key_takes_the_place_of_the_token(headers: dict[str, str], variable: str, header: tuple[str, str]) -> None:
    async def scene() -> None:
        async with serving() as endpoint:
            assert (await ask(api_proxy(endpoint.url, variable=variable), **headers))[0] == 200
            _, _, seen, _ = endpoint.asked[0]
            assert [(name, value) for name, value in seen.items() if SECRET in value or TOKEN in value] == [header]
            assert {"x-api-key", "authorization"} & seen.keys() == {header[0]}

    asyncio.run(scene())


def test_the_rest_of_a_request_arrives_as_it_was_sent() -> None:
    async def scene() -> None:
        async with serving() as endpoint:
            headers = {"anthropic_beta": "a,b", "Cookie": "c=1", "Connection": "x-private", "x_private": "p"}
            await ask(api_proxy(f"{endpoint.url}/gateway/"), "/v1/messages?beta=true&x=%2F", **headers)
            method, path, seen, body = endpoint.asked[0]
            assert (method, path, body) == ("POST", "/gateway/v1/messages?beta=true&x=%2F", b'{"a": 1}')
            assert seen["anthropic-beta"] == "a,b"
            assert seen["host"] == endpoint.url.removeprefix("http://")
            assert {"cookie", "x-private"} & seen.keys() == set()

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/messages"),
        ("DELETE", "/v1/messages"),
        ("POST", "/"),
        ("POST", "/v1/files"),
        ("POST", "/v1/messages/"),
        ("POST", "//v1/messages"),
        ("POST", "/v1/messages/batches"),
        ("POST", "/v1/messages%2Fbatches"),
        ("POST", "/v1/messages/../files"),
        ("POST", "/v1/messages;/../files"),
    ],
)
def test_only_messages_are_open(method: str, path: str) -> None:
    async def scene() -> None:
        async with serving() as endpoint:
            status, text = await ask(api_proxy(endpoint.url), path, method)
            assert (status, error_type(text)) == (403, "permission_error")
            assert endpoint.asked == []

    asyncio.run(scene())


def test_tokens_may_be_counted() -> None:
    async def scene() -> None:
        async with serving() as endpoint:
            assert (await ask(api_proxy(endpoint.url), "/v1/messages/count_tokens"))[0] == 200

    asyncio.run(scene())


def test_a_request_that_names_another_host_goes_to_the_endpoint() -> None:
    async def scene() -> None:
        async with serving() as endpoint, serving() as other, opened(api_proxy(endpoint.url)) as port:
            head = f"POST {other.url}/v1/messages HTTP/1.1\r\nHost: {other.url[7:]}\r\nx-api-key: {TOKEN}\r\n"
            await say(port, f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
            assert (len(endpoint.asked), other.asked) == (1, [])

    asyncio.run(scene())


# -- ApiProxy: what comes back


def test_a_stream_comes_back_as_it_is_written() -> None:
    async def scene() -> None:
        heard = asyncio.Event()

        async def stream(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await response.write(b"event: ping\n\n")
            await heard.wait()
            await response.write(b"event: stop\n\n")
            return response

        async with serving(stream) as endpoint, asking(api_proxy(endpoint.url)) as reply:
            assert reply.headers["Content-Type"] == "text/event-stream"
            assert await reply.content.readexactly(13) == b"event: ping\n\n"
            heard.set()
            assert await reply.read() == b"event: stop\n\n"

    asyncio.run(scene())


def test_an_error_of_the_endpoint_comes_back_whole() -> None:
    async def overloaded(request: web.Request) -> web.StreamResponse:
        return web.Response(status=529, reason="Overloaded", text='{"type": "error"}', headers={"retry-after": "7"})

    async def scene() -> None:
        async with serving(overloaded) as endpoint, asking(api_proxy(endpoint.url)) as reply:
            told = (reply.status, reply.reason, reply.headers["retry-after"], await reply.text())
            assert told == (529, "Overloaded", "7", '{"type": "error"}')

    asyncio.run(scene())


def test_a_reply_never_holds_the_secret() -> None:
    async def scene() -> None:
        heard = asyncio.Event()

        async def echo(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(status=401, reason=f"no {SECRET}", headers={"x-echo": f"<{SECRET}>"})
            response.headers["Set-Cookie"] = "session=1"
            await response.prepare(request)
            await response.write(f"first: {SECRET[:7]}".encode())
            await heard.wait()
            await response.write(f"{SECRET[7:]}, again: {SECRET}, beginning: {SECRET[:5]}".encode())
            return response

        async with serving(echo) as endpoint, asking(api_proxy(endpoint.url)) as reply:
            assert (reply.reason, reply.headers["x-echo"]) == ("no [removed]", "<[removed]>")
            assert "Set-Cookie" not in reply.headers
            assert await reply.content.readexactly(7) == b"first: "
            heard.set()
            assert await reply.text() == f"[removed], again: [removed], beginning: {SECRET[:5]}"

    asyncio.run(scene())


@pytest.mark.parametrize("cut", range(1, 24))
@pytest.mark.parametrize("secret", [b"aab", b"abab", b"s3cr3t", b"x"])
def test_the_scrubber_finds_a_secret_wherever_it_is_cut(secret: bytes, cut: int) -> None:
    text = b"aa" + secret + b"ab" + secret + secret[:-1] + secret
    for second in range(cut, len(text)):
        scrubber = Scrubber(secret)
        parts = [scrubber.feed(part) for part in (text[:cut], text[cut:second], text[second:])]
        assert secret not in b"".join([*parts, scrubber.rest()]).replace(b"[removed]", b"|")


def test_the_scrubber_leaves_other_text_alone_and_holds_back_only_a_beginning() -> None:
    scrubber = Scrubber(b"secret")
    assert [scrubber.feed(part) for part in (b"a sec", b"ond sec", b"", b"re", b"d")] == [
        b"a ",
        b"second ",
        b"",
        b"",
        b"secred",
    ]
    assert scrubber.rest() == b""


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    async def scene() -> None:
        async with serving() as other:

            async def elsewhere(request: web.Request) -> web.StreamResponse:
                return web.Response(status=status, headers={"Location": f"{other.url}/v1/messages"})

            async with serving(elsewhere) as endpoint:
                status_told, text = await ask(api_proxy(endpoint.url))
            assert (status_told, error_type(text)) == (502, "api_error")
            assert other.asked == []

    asyncio.run(scene())


def test_an_endpoint_that_is_down_is_told_as_an_error_of_the_api() -> None:
    async def scene() -> None:
        status, text = await ask(api_proxy(f"http://127.0.0.1:{closed_port()}"))
        assert (status, error_type(text)) == (502, "api_error")
        assert SECRET not in text

    asyncio.run(scene())


def test_an_endpoint_that_breaks_off_before_its_reply_is_told_as_an_error_of_the_api() -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def scene() -> None:
        async with serving(break_off) as endpoint:
            status, text = await ask(api_proxy(endpoint.url))
            assert (status, error_type(text)) == (502, "api_error")

    asyncio.run(scene())


def test_a_reply_that_breaks_off_does_not_look_whole() -> None:
    async def scene() -> None:
        heard = asyncio.Event()

        async def break_off(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"half")
            await heard.wait()
            assert request.transport is not None
            request.transport.abort()
            return response

        async with serving(break_off) as endpoint, asking(api_proxy(endpoint.url)) as reply:
            assert await reply.content.readexactly(4) == b"half"
            heard.set()
            with pytest.raises(aiohttp.ClientError):
                await reply.read()

    asyncio.run(scene())


@pytest.mark.parametrize("begun", [True, False])
def test_a_request_ends_with_its_asker(begun: bool) -> None:
    """Before and after the endpoint has begun to reply."""

    async def scene() -> None:
        arrived, cancelled = asyncio.Event(), asyncio.Event()

        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            try:
                if begun:
                    await response.prepare(request)
                    await response.write(b"begun")
                arrived.set()
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return response

        async with serving(endless) as endpoint, opened(api_proxy(endpoint.url)) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: {TOKEN}\r\nContent-Length: 0\r\n\r\n"
            writer.write(head.encode())
            await arrived.wait()
            writer.close()
            await cancelled.wait()

    asyncio.run(scene())


def test_a_key_that_cannot_be_had_is_an_authentication_error() -> None:
    async def no_key() -> Key:
        raise CredentialsError("the login has expired")

    status, text = asyncio.run(ask(ApiProxy(no_key, TOKEN, {})))
    assert (status, error_type(text)) == (401, "authentication_error")
    assert "the login has expired" in text


def test_a_session_that_is_over_is_refused_before_a_key_is_asked_for() -> None:
    asked = []

    async def key() -> Key:
        asked.append(True)
        raise CredentialsError("not to be asked for")

    reasons = iter(["it reached its limit", None])
    proxy = ApiProxy(key, TOKEN, {}, refuse=lambda: next(reasons))
    status, text = asyncio.run(ask(proxy))
    assert (status, error_type(text), asked) == (403, "permission_error", [])
    assert "it reached its limit" in text
    status, _ = asyncio.run(ask(ApiProxy(key, TOKEN, {}, refuse=lambda: next(reasons))))
    assert (status, asked) == (401, [True])


# -- the user's own proxy


@pytest.mark.parametrize(
    ("environment", "host", "expected"),
    [
        ({}, "api.anthropic.com", None),
        ({"HTTPS_PROXY": "http://p:1"}, "api.anthropic.com", "http://p:1"),
        ({"https_proxy": "http://q:2", "HTTPS_PROXY": "http://p:1"}, "api.anthropic.com", "http://q:2"),
        ({"HTTP_PROXY": "http://p:1"}, "api.anthropic.com", None),
        ({"HTTPS_PROXY": ""}, "api.anthropic.com", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other.com"}, "api.anthropic.com", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "api.anthropic.com"}, "api.anthropic.com", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "x, .anthropic.com"}, "api.anthropic.com", None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "*"}, "api.anthropic.com", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "anthropic.com"}, "notanthropic.com", "http://p:1"),
    ],
)
def test_which_proxy_is_used(environment: dict[str, str], host: str, expected: str | None) -> None:
    assert proxy_for(host, "https", environment) == expected


def test_requests_go_through_the_users_proxy_unless_the_endpoint_is_excepted() -> None:
    async def scene() -> None:
        async with serving() as endpoint, serving() as users:
            await ask(api_proxy(endpoint.url, HTTP_PROXY=users.url))
            assert (len(users.asked), len(endpoint.asked)) == (1, 0)
            await ask(api_proxy(endpoint.url, HTTP_PROXY=users.url, NO_PROXY="127.0.0.1"))
            assert (len(users.asked), len(endpoint.asked)) == (1, 1)

    asyncio.run(scene())
