"""Fixtures that several parts use."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest


@pytest.fixture
def listener() -> Iterator[int]:
    """The port of a loopback listener."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
