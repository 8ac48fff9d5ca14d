"""What several parts use. Tests marked `needs_level`, or with a level as a parameter, run where that level starts."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from fapo.sandbox.probe import CONFINING
from tests.support.levels import HERE

pytest_plugins = ["tests.support.browser"]


def pytest_report_header() -> str:
    return f"isolation levels of this machine: {', '.join(HERE) or 'none'}"


def pytest_configure() -> None:
    required = os.environ.get("FAPO_TEST_LEVELS", "")
    if missing := [level for level in required.split(",") if level and level not in HERE]:
        raise pytest.UsageError(f"FAPO_TEST_LEVELS={required}: level {missing[0]} does not start here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        marks = [mark.args[0] for mark in item.iter_markers("needs_level")]
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        wanted = {level for level in CONFINING if level in marks or level in parameters.values()}
        if missing := sorted(wanted - {*HERE}):
            item.add_marker(pytest.mark.skip(reason=f"level {missing[0]} does not start here: see `fapo doctor`"))


@pytest.fixture
def listener() -> Iterator[int]:
    """The port of a loopback listener."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
