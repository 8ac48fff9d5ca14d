"""A stand-in for a judge: it compares two replies, or looks for listed pieces in a text, by words alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fapo.standin.reader_prompt import content_of
from fapo.standin.reader_words import stems

_SECTION = re.compile(r"^(Question|Reply A|Reply B|Text|Pieces):[ \t]*$\n?", re.MULTILINE)
_NUMBERED = re.compile(r"^(\d+)\. (.+)$", re.MULTILINE)
_ENOUGH = 0.8
"""How much of the other reply's overlap with the question is enough to be as good."""


def judge(messages: Sequence[Mapping[str, Any]]) -> str:
    """For the sections `Question:`, `Reply A:` and `Reply B:`, `A` or `B`, with A where they are about as good.

    For `Text:` and `Pieces:`, the numbers of the pieces that stand in the text. Where there are none of these: `none`.
    """
    found = _sections(content_of(messages[-1]))
    if "Pieces" in found:
        return _pieces_in(found.get("Text", ""), found["Pieces"])
    if "Reply A" in found:
        asked = set(stems(found.get("Question", "")))
        first, second = (len(asked & set(stems(found.get(name, "")))) for name in ("Reply A", "Reply B"))
        return "A" if first >= _ENOUGH * second else "B"
    return "none"


def _sections(prompt: str) -> dict[str, str]:
    marks = list(_SECTION.finditer(prompt))
    ends = [mark.start() for mark in marks[1:]] + [len(prompt)]
    return {mark.group(1): prompt[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)}


def _pieces_in(text: str, pieces: str) -> str:
    plain = " ".join(text.casefold().split())
    found = [number for number, piece in _NUMBERED.findall(pieces) if " ".join(piece.casefold().split()) in plain]
    return ", ".join(found) or "none"
