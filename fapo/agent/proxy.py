"""The way out of the agent's sandbox: it leads to the model's API, and nowhere else.

Each proxy serves one session from fapo's own process, for whoever knows the session's token. `ApiProxy` keeps the
credential to itself: the agent's process has the token in its place. `ConnectProxy` is for providers whose requests
only the agent's process can sign; it lets through TLS connections to an allow-list of hosts.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # not in its stubs

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from fapo.agent.credentials import Key
from fapo.errors import CredentialsError

USER = "fapo"
"""What a ConnectProxy expects beside the token, as user and password."""

MESSAGES_API = frozenset({"/v1/messages", "/v1/messages/count_tokens"})
Local = Callable[[web.Request], Awaitable[web.StreamResponse]]
Observe = Callable[[int, bytes], None]
_LARGEST_REQUEST = 64 * 2**20
_LARGEST_HEAD = 16 * 2**10
_LONGEST_PORT = 5  # digits; far longer ones int() refuses
_CHUNK = 64 * 2**10
_CONNECT_S = 30.0
_HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    "upgrade".split()
)
_OWN_REQUEST_HEADERS = _HOP_BY_HOP | {
    "accept-encoding", "authorization", "content-length", "cookie", "forwarded", "host", "x-api-key",
}  # fmt: skip
_OWN_REPLY_HEADERS = _HOP_BY_HOP | {"content-encoding", "content-length", "set-cookie"}
_REMOVED = b"[removed]"


class Proxy(Protocol):
    """Serves what connects to `listener`, a listening TCP socket, until it is closed."""

    async def listen(self, listener: socket.socket) -> None: ...

    async def aclose(self) -> None: ...


class ApiProxy:
    """Forwards requests to an API with a key in the place of `token`, and streams the replies back.

    Of the API the POSTs of `paths` are open. Requests to a path of `local` are answered here. `observe` hears of each
    piece of a reply, with the reply's status; `refuse` is asked before each request, and gives a reason not to send it.

    An endpoint that cannot be reached is status 502, which the agent's process tries again as it does 5xx replies.
    `key` is asked for each request; its CredentialsError is status 401. `environment` holds what it takes to reach
    the endpoint: a proxy of the user's, certificates.
    """

    def __init__(
        self,
        key: Callable[[], Awaitable[Key]],
        token: str,
        environment: Mapping[str, str],
        *,
        paths: frozenset[str] = MESSAGES_API,
        local: Mapping[str, Local] | None = None,
        observe: Observe = lambda status, piece: None,
        refuse: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._key = key
        self._token = token.encode()
        self._environment = environment
        self._paths = paths
        self._local = local or {}
        self._observe = observe
        self._refuse = refuse
        self._session: aiohttp.ClientSession | None = None
        app = web.Application(client_max_size=_LARGEST_REQUEST)
        app.router.add_route("*", "/{path:.*}", self._answer)
        # Without cancellation a request whose asker is gone would go on, and be paid for.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)

    async def listen(self, listener: socket.socket) -> None:
        connector = aiohttp.TCPConnector(limit=0, ssl=_trust(self._environment))
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def aclose(self) -> None:
        await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if not self._knows_token(request):
            return _error(401, "authentication_error", "this is not the session's token")
        if (local := self._local.get(request.rel_url.raw_path)) is not None:
            return await local(request)
        if request.method != "POST" or request.rel_url.raw_path not in self._paths:
            return _error(403, "permission_error", f"{request.method} {request.path} is not open to the agent")
        if (reason := self._refuse()) is not None:
            return _error(403, "permission_error", reason)
        body = await request.read()
        try:
            key = await self._key()
        except CredentialsError as error:
            return _error(401, "authentication_error", str(error))
        response = web.StreamResponse()
        try:
            async with self._send(request, body, key) as reply:
                if 300 <= reply.status < 400:
                    return _error(502, "api_error", f"the endpoint redirects elsewhere (status {reply.status})")
                return await self._pass_on(request, reply, response, Scrubber(key.secret.encode()))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if not response.prepared:
                reason = f"the model's endpoint cannot be reached ({type(error).__name__})"
                return _error(502, "api_error", reason)
            if request.transport is not None:
                request.transport.abort()  # a reply that just ended would look whole
            return response

    def _knows_token(self, request: web.Request) -> bool:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        given = request.headers.get("x-api-key") or (bearer if scheme.lower() == "bearer" else "")
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token)

    @asynccontextmanager
    async def _send(self, request: web.Request, body: bytes, key: Key) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._session is not None
        headers = _without(request.headers, _OWN_REQUEST_HEADERS)
        headers.update({**key.header(), "Accept-Encoding": "identity"})
        url = URL(key.base_url.rstrip("/") + request.rel_url.raw_path_qs, encoded=True)
        proxy = proxy_for(str(url.host), url.scheme, self._environment)
        async with self._session.post(url, data=body, headers=headers, proxy=proxy, allow_redirects=False) as reply:
            yield reply

    async def _pass_on(
        self, request: web.Request, reply: aiohttp.ClientResponse, response: web.StreamResponse, scrubber: Scrubber
    ) -> web.StreamResponse:
        response.set_status(reply.status, scrubber.whole((reply.reason or "").encode()).decode())
        for name, value in _without(reply.headers, _OWN_REPLY_HEADERS).items():
            response.headers.add(name, scrubber.whole(value.encode()).decode())
        await response.prepare(request)
        async for chunk in reply.content.iter_any():
            if clean := scrubber.feed(chunk):
                self._observe(reply.status, clean)
                await response.write(clean)
        rest = scrubber.rest()
        self._observe(reply.status, rest)
        await response.write_eof(rest)
        return response


class Scrubber:
    """Removes a secret from a stream, wherever chunks cut it; holds back no more than what may be its beginning."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        text = self.whole(self._held + chunk)
        longest = min(len(self._secret) - 1, len(text))
        held = next((n for n in range(longest, 0, -1) if text.endswith(self._secret[:n])), 0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def rest(self) -> bytes:
        return self._held

    def whole(self, text: bytes) -> bytes:
        return text.replace(self._secret, _REMOVED)


def _without(headers: Mapping[str, str], names: frozenset[str]) -> CIMultiDict[str]:
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    kept = ((name, value) for name, value in headers.items() if name.lower() not in names | named)
    return CIMultiDict(kept)


def _error(status: int, kind: str, message: str) -> web.Response:
    """An error as the Messages API tells it."""
    return web.json_response({"type": "error", "error": {"type": kind, "message": f"fapo: {message}"}}, status=status)


class ConnectProxy:
    """An HTTP proxy for CONNECT to `hosts`, (name, port) pairs; it asks for `USER` and the token.

    A proxy of the user's in `environment` is used where it applies.
    """

    def __init__(self, hosts: frozenset[tuple[str, int]], token: str, environment: Mapping[str, str]) -> None:
        self._hosts = hosts
        self._authorization = "Basic " + base64.b64encode(f"{USER}:{token}".encode()).decode()
        self._environment = environment
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def listen(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_server(self._accept, sock=listener, limit=_LARGEST_HEAD)

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with _closing(writer):
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
                async with asyncio.timeout(_CONNECT_S):
                    target = self._target(*_read_head(await reader.readuntil(b"\r\n\r\n")))
                if isinstance(target, str):
                    writer.write(f"HTTP/1.1 {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                    await writer.drain()
                    return
                await self._tunnel(*target, reader, writer)

    def _target(self, line: str, headers: Mapping[str, str]) -> tuple[str, int] | str:
        """Where to connect, or the status line that refuses it."""
        given = headers.get("proxy-authorization", "").encode()
        if not hmac.compare_digest(given, self._authorization.encode()):
            return "407 Proxy Authentication Required"
        method, _, rest = line.partition(" ")
        host, _, port = rest.partition(" ")[0].rpartition(":")
        is_port = port.isascii() and port.isdecimal() and len(port) <= _LONGEST_PORT
        target = (host.lower(), int(port)) if is_port else None
        return target if method == "CONNECT" and target in self._hosts and target else "403 Forbidden"

    async def _tunnel(self, host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_CONNECT_S):
                far_reader, far_writer = await self._connect(host, port)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            return
        async with _closing(far_writer):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        proxy = proxy_for(host, "https", self._environment)
        if proxy is None:
            return await asyncio.open_connection(host, port)
        parts = urlsplit(proxy)
        secure = _trust(self._environment) if parts.scheme == "https" else None
        own_port = parts.port or (443 if secure else 80)
        reader, writer = await asyncio.open_connection(parts.hostname, own_port, ssl=secure, limit=_LARGEST_HEAD)
        try:
            await _ask(reader, writer, host, port, parts.username, parts.password)
        except BaseException:
            writer.close()
            raise
        return reader, writer


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, user: str | None, key: str | None
) -> None:
    """Have the user's proxy connect to a host. Raises OSError if it refuses."""
    lines = [f"CONNECT {host}:{port} HTTP/1.1", f"Host: {host}:{port}"]
    if user:
        login = f"{unquote(user)}:{unquote(key or '')}".encode()
        lines.append("Proxy-Authorization: Basic " + base64.b64encode(login).decode())
    writer.write("\r\n".join([*lines, "", ""]).encode())
    line, _ = _read_head(await reader.readuntil(b"\r\n\r\n"))
    if line.split(" ")[1:2] != ["200"]:
        raise OSError(f"the proxy refuses {host}: {line}")


def _read_head(head: bytes) -> tuple[str, dict[str, str]]:
    """The first line of a request or reply, and its headers by lower-case name."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    fields = (line.partition(":") for line in lines)
    return first, {name.strip().lower(): value.strip() for name, _, value in fields}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


@asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def proxy_for(host: str, scheme: str, environment: Mapping[str, str]) -> str | None:
    """The proxy that `environment` names for a host, by the usual variables."""

    def named(variable: str) -> str | None:
        return environment.get(variable.lower()) or environment.get(variable)

    proxy = named(f"{scheme.upper()}_PROXY")
    excepted = proxy_bypass_environment(host, {"no": named("NO_PROXY") or ""})
    return proxy if proxy and not excepted else None


def _trust(environment: Mapping[str, str]) -> ssl.SSLContext:
    """The usual authorities, or those that `environment` names as OpenSSL's, and those that it adds for Node.js."""
    file, folder = environment.get("SSL_CERT_FILE"), environment.get("SSL_CERT_DIR")
    context = ssl.create_default_context(cafile=file, capath=folder)
    if added := environment.get("NODE_EXTRA_CA_CERTS"):
        context.load_verify_locations(added)
    return context
