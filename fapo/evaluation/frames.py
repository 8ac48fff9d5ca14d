"""The pipe between parent and worker: frames of a 4-byte big-endian length and one JSON object.

JSON and never pickle: unpickling in the parent would run code that the worker chose.
"""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

MAX_FRAME_BYTES = 16 * 2**20
_LENGTH = struct.Struct(">I")


class FrameError(Exception):
    """The other side sent what is not a frame."""


def encode_frame(message: dict[str, Any]) -> bytes:
    body = json.dumps(message, default=repr).encode()
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"message of {len(body):,} bytes; at most {MAX_FRAME_BYTES:,} are allowed")
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """The next message, or None at the end of the stream."""
    try:
        head = await reader.readexactly(_LENGTH.size)
        (length,) = _LENGTH.unpack(head)
        if length > MAX_FRAME_BYTES:
            raise FrameError(f"announced {length:,} bytes; at most {MAX_FRAME_BYTES:,} are allowed")
        body = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise FrameError("not a JSON object")
    return message
