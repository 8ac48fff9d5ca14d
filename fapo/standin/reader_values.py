"""Finds named values in a text: by their kind (a date, a number, a name, ...) and by the words near them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fapo.standin.reader_text import STOP_WORDS, stem

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_DATE = rf"\d{{4}}-\d\d-\d\d|\d{{1,2}} {_MONTH}(?: \d{{4}})?|{_MONTH} \d{{1,2}}(?:, \d{{4}})?"
_CODE = r"\b(?=[A-Z0-9-]*\d)[A-Z]{1,4}-?\d[\dA-Z-]*\b|#\d+|\b\d{4,}\b"
_NAME = r"(?:[A-Z][\w’'-]+ )+[A-Z][\w’'-]+|[A-Z][\w’'-]+"
_KINDS: tuple[tuple[str, str, str], ...] = (
    ("email", r"\be-?mail\b", r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    ("date", r"\b(date|day|due|deadline|when|by)\b", _DATE),
    ("money", r"\b(amount|price|total|cost|sum|paid)\b", r"[$€£]\s?\d[\d,]*(?:\.\d+)?|\b\d[\d,]*\.\d\d\b"),
    ("code", r"\b(id|code|reference|order|ticket|invoice|account)\b", _CODE),
    ("number", r"\b(quantity|number|count|how many|units|pieces|items)\b", r"(?<![\w-])\d{1,3}(?![\w-]|\.\d)"),
    ("place", r"\b(city|place|town|address|location|where|destination)\b", r"(?:[A-Z][\w’'-]+)(?: [A-Z][\w’'-]+)?"),
    ("name", r"\b(name|customer|person|who|client|sender|contact)\b", _NAME),
)  # fmt: skip
_PLACE_CUES = ("in", "to", "at", "from")
_NOT_NAMES = re.compile(
    rf"^(?:{_MONTH}|Mon|Tue|Wed|Thu|Fri|Sat|Sun|Hello|Hi|Dear|Please|Order|The|We|Our|I|It|This|My)\b"
)
_TOKEN = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class _Candidate:
    text: str
    start: int


def find_value(text: str, name: str, about: str) -> str | int | float | None:
    """The value of a field called `name`, about which the prompt says `about`, in a text; None without a candidate."""
    labelled = re.search(rf"^\W*{re.escape(name).replace('_', '[ _-]')}\s*[:=]\s*(.+?)\s*[.;]?$", text, re.I | re.M)
    if labelled:
        return _typed(labelled.group(1), _kind(name, about)[0])
    kind, pattern = _kind(name, about)
    candidates = [_Candidate(m.group(0), m.start()) for m in re.finditer(pattern, text)]
    if kind in ("name", "place"):
        candidates = [c for c in candidates if not _NOT_NAMES.match(c.text) and not re.search(r"\d", c.text)]
    if not candidates:
        return None
    cues = _cues(text, name, about, kind)
    best = max(candidates, key=lambda c: (_closeness(c, cues) + _form(c, kind, text), -c.start))
    return _typed(best.text, kind)


def _kind(name: str, about: str) -> tuple[str, str]:
    for words in (f"{name} ".replace("_", " "), about):
        for kind, hint, pattern in _KINDS:
            if re.search(hint, words, re.I):
                return kind, pattern
    return "name", _KINDS[-1][2]


def _cues(text: str, name: str, about: str, kind: str) -> list[int]:
    """Where the words of the field's name and description, or the usual words before its kind, occur."""
    words = {
        stem(word) for word in _TOKEN.findall(f"{name.replace('_', ' ')} {about}") if word.lower() not in STOP_WORDS
    }
    found = [m.end() for m in _TOKEN.finditer(text) if stem(m.group(0)) in words]
    if kind == "place":
        found += [m.end() for m in _TOKEN.finditer(text) if m.group(0) in _PLACE_CUES]
    return found


def _closeness(candidate: _Candidate, cues: list[int]) -> float:
    """Up to 1, the nearer a cue word stands; one before the value counts more than one after it."""
    distances = [candidate.start - cue if cue <= candidate.start else 2 * (cue - candidate.start) for cue in cues]
    return 1 / (1 + min(distances) / 10) if distances else 0.0


def _form(candidate: _Candidate, kind: str, text: str) -> float:
    """Whether a candidate looks like its kind: names have two words, and neither stands at a sentence's start alone."""
    words = len(candidate.text.split())
    alone = candidate.start == 0 or text[: candidate.start].rstrip().endswith((".", "!", "?", "\n"))
    if kind == "name":
        return 0.6 * (words >= 2) - 0.3 * (alone and words < 2)
    if kind == "place":
        return 0.2 * (words == 1) - 0.5 * alone
    return 0.0


def _typed(text: str, kind: str) -> str | int | float:
    clean = text.strip().strip(",;")
    if kind == "number" and clean.isdigit():
        return int(clean)
    if kind == "money":
        digits = re.sub(r"[^\d.]", "", clean)
        return float(digits) if digits else clean
    return clean
