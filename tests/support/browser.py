"""A real browser for tests: headless Chromium of this machine. `FAPO_TEST_BROWSER=1` says that there has to be one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

EXECUTABLE = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
"""What keeps Chromium from asking anyone for anything by itself."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium, started and ended. As long as it runs, this thread cannot run another event loop."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=EXECUTABLE, args=[*QUIET])
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the tests of a module; without one they are skipped, unless there has to be one."""
    if EXECUTABLE is None:
        if os.environ.get("FAPO_TEST_BROWSER"):
            pytest.fail("FAPO_TEST_BROWSER is set, and no chromium is installed")
        pytest.skip("no chromium is installed")
    with chromium() as running:
        yield running


@pytest.fixture
def browser_page(browser: Browser) -> Iterator[Page]:
    """A page in a profile of its own. What it reports as an error, on the console or uncaught, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    faults: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            faults.append(message.text)

    page.on("console", on_console)
    page.on("pageerror", lambda error: faults.append(str(error)))
    try:
        yield page
        assert not faults, f"the page reported {faults}"
    finally:
        context.close()
