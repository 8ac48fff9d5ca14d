"""The pipe between parent and worker: frames of a 4-byte big-endian length and one JSON object.

JSON and never pickle: unpickling in the parent would run code that the worker chose.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

from fapo.pipeline.context import is_nested_deeper

MAX_FRAME_BYTES = 16 * 2**20
MAX_NESTING = 100
"""Lists and objects inside of each other. Records hold what frames hold, and pydantic reads no deeper than 200."""
_LENGTH = struct.Struct(">I")


class FrameError(Exception):
    """The other side sent what is not a frame, or a message is too large for one."""


def encode_frame(message: dict[str, Any]) -> bytes:
    body = json.dumps(message, default=repr).encode()
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"message of {len(body):,} bytes; at most {MAX_FRAME_BYTES:,} are allowed")
    return _LENGTH.pack(len(body)) + body


def decode_body(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise FrameError("not a JSON object")
    if body.count(b"[") + body.count(b"{") > MAX_NESTING and is_nested_deeper(message, MAX_NESTING):
        raise FrameError(f"nested deeper than {MAX_NESTING} levels")
    return message


class FrameProtocol(asyncio.Protocol):
    """Cuts what arrives into frames. `on_frame` gets each message with its size in bytes and may raise FrameError.

    `on_end` is told once that no more will come: of the end of the stream, or of what was wrong with it.
    """

    def __init__(
        self, on_frame: Callable[[dict[str, Any], int], None], on_end: Callable[[FrameError | None], None]
    ) -> None:
        self._on_frame = on_frame
        self._on_end = on_end
        self._buffer = bytearray()
        self._outgoing: list[bytes] = []
        self._ended = False
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        buffer = self._buffer
        buffer += data
        start, end = 0, len(buffer)
        try:
            while end - start >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(buffer, start)
                if length > MAX_FRAME_BYTES:
                    raise FrameError(f"announced {length:,} bytes; at most {MAX_FRAME_BYTES:,} are allowed")
                after = start + _LENGTH.size + length
                if after > end:
                    break
                body = bytes(buffer[start + _LENGTH.size : after])
                start = after
                self._on_frame(decode_body(body), length)
        except FrameError as error:
            self._end(error)
        del buffer[:start]

    def connection_lost(self, error: Exception | None) -> None:
        self._end(None)

    def _end(self, error: FrameError | None) -> None:
        if not self._ended:
            self._ended = True
            self._on_end(error)

    def send(self, message: dict[str, Any]) -> None:
        """Write one message; nothing once the pipe is closing. Raises FrameError for one that is too large.

        Messages of one round of the event loop go out together: each write wakes the other side.
        """
        self._outgoing.append(encode_frame(message))
        if len(self._outgoing) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        frames, self._outgoing = self._outgoing, []
        if frames and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(frames))

    def close(self) -> None:
        self._flush()
        if self._transport is not None:
            self._transport.close()


async def open_pipe(
    end: socket.socket,
    on_frame: Callable[[dict[str, Any], int], None],
    on_end: Callable[[FrameError | None], None],
) -> FrameProtocol:
    """Speak in frames over one end of a socket pair, in the running event loop."""
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(lambda: FrameProtocol(on_frame, on_end), sock=end)
    return protocol
