"""Marked passages of a reply, found in time that grows with its length only, whatever it holds."""

from __future__ import annotations

from collections.abc import Iterator

_BOX, _FRAME, _SPACED_BOX = "\\boxed", "\\fbox", "\\boxed "


def between(text: str, opening: str, closing: str) -> Iterator[tuple[int, int]]:
    """Where passages begin and end, marks included: each from an opening to the next closing, one after the other."""
    end = 0
    while (start := text.find(opening, end)) >= 0 and (stop := text.find(closing, start + len(opening))) >= 0:
        end = stop + len(closing)
        yield start, end


def without_thoughts(text: str) -> str:
    kept, last = [], 0
    for start, end in between(text, "<think>", "</think>"):
        kept.append(text[last:start])
        last = end
    return "".join([*kept, text[last:]])


def last_solution(text: str) -> str | None:
    """What the last `<solution>` that is closed on its line holds."""
    found = None
    for line in text.split("\n"):
        for start, end in between(line, "<solution>", "</solution>"):
            found = line[start + len("<solution>") : end - len("</solution>")]
    return found


def last_boxed(text: str) -> str | None:
    """What the last `\\boxed{...}` or `\\fbox{...}` holds, without dollar signs; or what follows the last `\\boxed `.

    None where there is none, or the last one is not closed.
    """
    if _SPACED_BOX in text:
        return text.rpartition(_SPACED_BOX)[2].split("$")[0]
    mark = _BOX if _BOX in text else _FRAME
    start = text.rfind(mark)
    if start < 0 or text[start + len(mark) : start + len(mark) + 1] != "{":
        return None
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if text[at] == "}" and depth == 0:
            return text[start + len(mark) + 1 : at].replace("$", "").replace("fbox", "boxed")
    return None
