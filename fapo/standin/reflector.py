"""A stand-in for a model that rewrites an instruction: one general edit a time, from the optimizer's own list."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fapo.standin.edits import PROMPT_EDITS, Facts
from fapo.standin.reader_prompt import content_of

_FENCED = re.compile(r"```[^\n]*\n(.*?)\n?```", re.DOTALL)
_SYSTEM = "System:\n"
_USER = "\n\nUser:\n-\n"


def reflect(messages: Sequence[Mapping[str, Any]]) -> str:
    """The instruction that stands in the first fence of the prompt, with one edit more, in a fence.

    Which edit comes first depends on the whole prompt, and so on the examples in it; one that does not fit is passed
    over. Where none fits, the instruction comes back as it is.
    """
    prompt = content_of(messages[-1])
    match = _FENCED.search(prompt)
    instruction = match.group(1).strip() if match else ""
    start = int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % len(PROMPT_EDITS)
    for edit in (*PROMPT_EDITS[start:], *PROMPT_EDITS[:start]):
        changed = edit.apply(f"{_SYSTEM}{instruction}{_USER}", Facts("", "unidentified", final=True))
        if changed is not None:
            return f"```\n{changed.removeprefix(_SYSTEM).removesuffix(_USER).strip()}\n```"
    return f"```\n{instruction}\n```"
