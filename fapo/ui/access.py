"""Who may look: whoever has the token that the terminal printed, from this machine, and no page of another origin."""

from __future__ import annotations

import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Access:
    """The token of one server, and the names by which it may be asked."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.token = secrets.token_urlsafe(32)
        self.ticket: str | None = secrets.token_urlsafe(32)
        """In place of the token, once: for a command line that others on the machine can read."""
        self.cookie = f"fapo_ui_{port}"
        self.hosts = (f"{HOST}:{port}", f"localhost:{port}")

    def url(self, secret: str) -> str:
        return f"http://{HOST}:{self.port}/?token={secret}"

    def admits(self, secret: str) -> bool:
        """Whether a token lets its bearer in. The ticket does so once."""
        if self.ticket is not None and secrets.compare_digest(secret.encode(), self.ticket.encode()):
            self.ticket = None
            return True
        return secrets.compare_digest(secret.encode(), self.token.encode())

    def knows(self, cookies: str) -> bool:
        """Whether a Cookie header holds the token."""
        try:
            found = SimpleCookie(cookies).get(self.cookie)
        except CookieError:
            return False
        return found is not None and secrets.compare_digest(found.value.encode(), self.token.encode())


class Gate:
    """Answers in the application's place whatever may not reach it, and puts a policy on all that leaves."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        answer = self._answer(scope)
        await (self._app if answer is None else answer)(scope, receive, guarded)

    def _answer(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self._access.hosts:
            return PlainTextResponse("This server answers on the loopback address only.", 421)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("Nothing can be changed here.", 405, {"allow": "GET, HEAD"})
        if headers.get("origin", f"http://{hosts[0]}") != f"http://{hosts[0]}":
            return PlainTextResponse("Pages of another origin may not ask.", 403)
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return PlainTextResponse("Pages of another origin may not ask.", 403)
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if "token" in query:
            return self._admit(scope["path"], query)
        if self._access.knows("; ".join(headers.getlist("cookie"))):
            return None
        return PlainTextResponse("Open the address that `fapo ui` printed in its terminal: it holds the token.", 403)

    def _admit(self, path: str, query: dict[str, list[str]]) -> Response:
        if not self._access.admits(query.pop("token")[0]):
            return PlainTextResponse("This token is another server's. `fapo ui` prints the present address.", 403)
        rest = urlencode(query, doseq=True)
        target = "/" + path.lstrip("/")
        answer = RedirectResponse(f"{target}?{rest}" if rest else target, 303)
        answer.set_cookie(self._access.cookie, self._access.token, httponly=True, samesite="strict", path="/")
        return answer
