"""An agent's tools as an MCP server over HTTP, for CLIs that cannot call into fapo's process otherwise.

Streamable HTTP of the Model Context Protocol, revision 2025-06-18, in its stateless form: each message is a POST, each
reply one JSON object, and there is no stream from the server (https://modelcontextprotocol.io/specification).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import jsonschema
from aiohttp import web

import fapo
from fapo.agent.protocol import AgentTool

REVISION = "2025-06-18"
_NO_METHOD, _BAD_REQUEST = -32601, -32600

Call = Callable[[AgentTool, dict[str, Any]], Awaitable[tuple[str, bool]]]


class McpEndpoint:
    """Answers `tools/list` and `tools/call`. `call` runs a tool and says its text, and whether it failed."""

    def __init__(self, tools: Iterable[AgentTool], call: Call) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._call = call

    async def answer(self, request: web.Request) -> web.Response:
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"})
        try:
            message = await request.json()
        except ValueError:
            return web.Response(status=400)
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            return web.json_response(_error(None, _BAD_REQUEST, "expected one JSON-RPC message"), status=400)
        if "id" not in message:
            return web.Response(status=202)
        given = message.get("params")
        result = await self._result(message["method"], given if isinstance(given, dict) else {})
        if result is None:
            return web.json_response(_error(message["id"], _NO_METHOD, "there is no such method"))
        return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result})

    async def _result(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        if method == "initialize":
            server = {"name": "fapo", "version": fapo.__version__}
            return {"protocolVersion": REVISION, "capabilities": {"tools": {}}, "serverInfo": server}
        if method == "ping":
            return {}
        if method == "tools/list":
            return {"tools": [_offer(tool) for tool in self._tools.values()]}
        if method == "tools/call":
            text, failed = await self._called(params.get("name"), params.get("arguments"))
            return {"content": [{"type": "text", "text": text}], "isError": failed}
        return None

    async def _called(self, name: Any, arguments: Any) -> tuple[str, bool]:
        tool = self._tools.get(name) if isinstance(name, str) else None
        if tool is None:
            return f"error: there is no tool {name!r}", True
        try:
            jsonschema.validate(given := {} if arguments is None else arguments, tool.input_schema)
        except jsonschema.ValidationError as error:
            return f"error: {error.json_path}: {error.message}", True
        text, failed = await self._call(tool, given)
        return f"error: {text}" if failed else text, failed


def _offer(tool: AgentTool) -> dict[str, Any]:
    schema = {"type": "object", "properties": {}, **tool.input_schema}
    hints = {"readOnlyHint": tool.read_only}
    return {"name": tool.name, "description": tool.description, "inputSchema": schema, "annotations": hints}


def _error(call: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call, "error": {"code": code, "message": message}}
