"""How pages write numbers and times, and the templates that use it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from fapo.report.html import ticked
from fapo.store.files import to_python


def score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def points(value: float | None) -> str:
    """A difference of scores in points, with its sign."""
    return "–" if value is None else f"{100 * value:+.1f}"


def dollars(cost: float | None) -> str:
    if cost is None:
        return "unknown"
    return f"${cost:.2f}" if cost >= 1 or cost == 0 else f"${cost:.4f}"


def count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def seconds(value: float | None) -> str:
    if value is None:
        return "–"
    if value < 1:
        return f"{1000 * value:.0f} ms" if value >= 0.001 or value == 0 else "<1 ms"
    if value < 120:
        return f"{value:.1f} s"
    minutes, rest = divmod(int(value), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def clock(moment: float) -> str:
    return datetime.fromtimestamp(moment).astimezone().strftime("%H:%M:%S") if moment else "–"


def when(moment: float) -> str:
    """A moment as one remembers it: how long ago today, the date before."""
    ago = time.time() - moment
    if ago < 60:
        return "now"
    if ago < 3600:
        return f"{int(ago / 60)} min ago"
    if ago < 86400:
        return f"{int(ago / 3600)} h ago"
    return datetime.fromtimestamp(moment).astimezone().strftime("%Y-%m-%d %H:%M")


def link(path: str, **parameters: object) -> str:
    """A path on this server with its parameters, each part quoted; parameters that are empty are left out."""
    given = {name: value for name, value in parameters.items() if value not in ("", None)}
    return quote(path) + (f"?{urlencode(given)}" if given else "")


def as_json(records: Sequence[object]) -> str:
    """Records as JSON for an attribute; the template escapes it."""
    return json.dumps([to_python(record) for record in records])


def templates() -> Environment:
    """The templates of the pages. Whatever is put into them is escaped."""
    made = Environment(loader=PackageLoader("fapo.ui"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                       lstrip_blocks=True)  # fmt: skip
    made.filters |= {"score": score, "points": points, "dollars": dollars, "count": count, "seconds": seconds,
                     "clock": clock, "when": when, "json": as_json,
                     "ticked": ticked}  # fmt: skip
    made.globals["link"] = link
    return made
