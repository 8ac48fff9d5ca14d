"""Words that a variant addresses to whoever judges it: the reviewer, the optimizer, a judge model, the scorer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fapo.review.leaks import Passage

_JUDGES = r"(reviewers?|optimi[sz]ers?|judges?|graders?|evaluators?|scorers?|auditors?)"
_ADDRESSED = re.compile(
    rf"\b(ignore|disregard|forget|override)\b[^.\n]{{0,40}}\b(previous|prior|above|earlier|all|your|other)\b[^.\n]{{0,20}}"
    rf"\b(instructions?|rules?|prompts?|guidelines?)\b"
    rf"|\b(note|message|attention|dear|hello|hint|instructions?|to)\b[^.\n]{{0,15}}\b(the |all )?{_JUDGES}\b\s*[:,!]"
    rf"|^\W*{_JUDGES}\s*[:,]"
    rf"|\b{_JUDGES}\b[^.\n]{{0,30}}\b(must|should|shall|please|will)\b[^.\n]{{0,30}}\b(accept|approve|pass|allow|award|"
    rf"give|score)\b"
    rf"|\b(approve|accept|pass)\b[^.\n]{{0,12}}\b(this|the) (variant|change|submission|diff|edit)\b"
    rf"|\b(call|use) the (tool )?`?(verdict|submit|request_level|finish)`?\b"
    rf"|\b(give|award|assign)\b[^.\n]{{0,30}}\b(full|maximum|highest|perfect) (score|marks|points|grade)\b",
    re.IGNORECASE | re.MULTILINE,
)


def addressed(text: str) -> Iterator[Passage]:
    """The places of a text that speak to a judge."""
    for match in _ADDRESSED.finditer(text):
        yield Passage(" ".join(match.group().split()), text.count("\n", 0, match.start()) + 1)
