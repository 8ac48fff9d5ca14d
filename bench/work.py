"""The work that every driver does: a chain of three calls a case, and the replies that make its answers known."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

MODEL = "gpt-4.1-mini"
KEY = "loopback"
SAMPLING = {"temperature": 0.0, "max_tokens": 300}
STEPS = {
    "gist": "Summarize in one sentence what the customer wants, and name the product and the order that it is about.",
    "facts": "List the facts that a colleague needs in order to act on this summary, in the order of their weight.",
    "route": "Choose the team that should act on these facts, and tell it in two sentences what it has to do first.",
}
_OPENING = "Good morning, I am writing about an order that I placed with you some weeks ago, under the number"
_BODY = (
    "The parcel came late, one of the shelves was scratched along its whole front, and the invoice shows delivery "
    "twice. I called twice and was told that somebody would write to me, which nobody did. Please tell me whether you "
    "send another shelf or give back the money, and correct the invoice in either case."
)
_TEAMS = ("billing", "shipping", "accounts", "repairs", "sales")


class Message(TypedDict):
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Case:
    id: str
    message: str
    expected: str


def reply_to(text: str) -> str:
    """The reply of the server to a last message: some 200 bytes that differ for each text."""
    digest = hashlib.blake2b(text.strip().encode(), digest_size=12).hexdigest()
    team = _TEAMS[int(digest[:4], 16) % len(_TEAMS)]
    return (
        f"Matter {digest}: this goes to {team}. The customer waits for an answer since the delivery; first confirm the "
        f"order, then settle item {digest[:6]} and write to the customer about the outcome."
    )


def cases(count: int) -> list[Case]:
    return [_case(number) for number in range(count)]


def _case(number: int) -> Case:
    text = f"{_OPENING} {number:07d}. {_BODY}"
    answer = text
    for _ in STEPS:
        answer = reply_to(answer)
    return Case(f"case-{number:07d}", text, answer)


def messages(step: str, text: str) -> list[Message]:
    """What a step sends, given the case's message or the reply of the step before it."""
    return [{"role": "system", "content": STEPS[step]}, {"role": "user", "content": text}]


def score(case: Case, answer: str | None) -> float:
    return float(answer is not None and answer.split() == case.expected.split())


def arguments() -> tuple[str, list[Case], int]:
    """A driver's command line: BASE_URL (which ends in /v1), number of cases, concurrency."""
    if len(sys.argv) != 4:
        raise SystemExit(f"usage: python {sys.argv[0]} BASE_URL N CONCURRENCY")
    return sys.argv[1], cases(int(sys.argv[2])), int(sys.argv[3])


def report(scores: Sequence[float]) -> None:
    """What a driver prints at its end; `throughput.py` wants a mean of 1."""
    print(json.dumps({"mean": sum(scores) / len(scores), "n": len(scores)}))
