"""Which case and which step the running code belongs to."""

from __future__ import annotations

from contextvars import ContextVar

current_case: ContextVar[int | None] = ContextVar("current_case", default=None)
"""The running number of the case that this code runs for; None outside of one."""
