"""One failing case as the rules look at it: its steps with their texts made comparable, and what flowed
where.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

from fapo.attribution.text import Texts, as_structure, document_titles, holds, is_empty, leaves, was_cut
from fapo.records import Case, CaseRecord, Step

_RETRIEVAL_NAME = re.compile(r"retriev|search|fetch|lookup|look_up", re.IGNORECASE)
_PIECES = 24
"""How many parts of an output are looked for downstream: enough to see that it was handed on."""
_SAMPLES = 5


class StepView:
    """A step and its normalised texts, worked out when a rule asks for them."""

    def __init__(self, step: Step, index: int, texts: Texts) -> None:
        self.step = step
        self.index = index
        self._texts = texts

    @property
    def name(self) -> str:
        return self.step.name

    @property
    def is_llm(self) -> bool:
        return self.step.kind == "llm"

    @property
    def is_empty(self) -> bool:
        return is_empty(self.step.output)

    @property
    def hit_limit(self) -> bool:
        return self.is_llm and self.step.finish_reason in ("length", "max_tokens")

    @cached_property
    def output(self) -> str:
        return self._texts.value(self.step.output)

    @cached_property
    def shown(self) -> str:
        """What a model was shown: its rendered messages; of a function, its arguments."""
        inputs = self.step.inputs
        messages = inputs.get("messages") if isinstance(inputs, dict) else None
        return self._texts.value(inputs if messages is None else messages)

    @cached_property
    def given(self) -> str:
        """All that reached the step: also the variables that its prompt did not use."""
        return self._texts.value(self.step.inputs)

    @cached_property
    def titles(self) -> tuple[tuple[str, bool], ...]:
        """The titles of the documents in its output, as `document_titles` gives them."""
        return tuple(document_titles(self.step.output))

    @cached_property
    def has_number(self) -> bool:
        """Whether a function takes a number, such as the `k` of a search, that a parameter could set."""
        inputs = self.step.inputs if isinstance(self.step.inputs, dict) else {}
        kwargs, args = inputs.get("kwargs"), inputs.get("args")
        numbers = [
            *(kwargs.values() if isinstance(kwargs, dict) else ()),
            *(args if isinstance(args, list) else ()),
        ]
        return any(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers)

    def pieces(self) -> Iterator[str]:
        """Parts of the output that would be found again where it is handed on, whole or line by line."""
        whole = self._texts.value(self.step.output)
        if "|" not in whole and len(whole) > 1:
            yield whole
        found = 0
        for leaf in leaves(self.step.output):
            for line in leaf.splitlines():
                if len(text := self._texts.text(line)) > 8:
                    yield text
                    found += 1
                    if found == _PIECES:
                        return


class CaseView:
    """A record with its case. `retrieval` holds the names of the steps that bring in texts."""

    def __init__(self, record: CaseRecord, case: Case, retrieval: frozenset[str]) -> None:
        self.record = record
        self.case = case
        self.texts = Texts()
        self.steps = [StepView(step, index, self.texts) for index, step in enumerate(record.steps)]
        self.retrievals = [s for s in self.steps if not s.is_llm and s.name in retrieval]
        self.answer_value: Any = as_structure(record.prediction.output) if record.prediction else None

    @cached_property
    def question(self) -> str:
        return self.texts.value(self.case.inputs)

    @cached_property
    def answer(self) -> str:
        """The prediction's output as text, without its evidence."""
        return self.texts.value(self.answer_value)

    @cached_property
    def is_partial(self) -> bool:
        """Whether the trace was cut somewhere, so that a value may have been where it is no longer seen."""
        return any(was_cut(leaf) for s in self.steps for leaf in (s.step.output, s.step.inputs))

    def is_retrieval(self, step: StepView) -> bool:
        return step in self.retrievals

    def decider(self, answer: str) -> StepView | None:
        """The step that decided on `answer`: the last model reply that holds it or stands in it, else the
        last reply.

        A function behind it (a parser, a vote) only passes on what a model chose, so it decides only where
        no model ran.
        """
        replies = [s for s in self.steps if s.is_llm and s.step.error is None] or self.steps
        for step in reversed(replies):
            if answer and step.output and (answer in step.output or step.output in answer):
                return step
        return replies[-1] if replies else None

    def holders(self, values: Iterable[str]) -> list[StepView]:
        values = tuple(values)
        return [s for s in self.steps if holds(s.output, values)]

    def feeds(self, step: StepView, later: StepView) -> bool:
        """Whether a part of `step`'s output is found again in what reached `later`."""
        return step.index < later.index and any(piece in later.given for piece in step.pieces())

    def feeders(self, step: StepView) -> list[StepView]:
        """The earlier steps whose output reached `step`, in order, directly or through others.

        Not followed through a retrieval: what wrote its query handed on no content.
        """
        reached = {step.index}
        for earlier in reversed(self.steps[: step.index]):
            targets = (self.steps[i] for i in reached)
            if any(self.feeds(earlier, later) for later in targets if later is step or not self.is_retrieval(later)):
                reached.add(earlier.index)
        return [self.steps[i] for i in sorted(reached - {step.index})]


def retrieval_names(records: Iterable[CaseRecord]) -> frozenset[str]:
    """The function steps that bring in texts: named so, or returning a list of texts that they were not
    given.
    """
    found: set[str] = set()
    seen: dict[str, int] = {}
    for record in records:
        for step in record.steps:
            if step.kind == "llm" or step.name in found or seen.get(step.name, 0) >= _SAMPLES:
                continue
            seen[step.name] = seen.get(step.name, 0) + 1
            if _RETRIEVAL_NAME.search(step.name) or _brings_texts(step):
                found.add(step.name)
    return frozenset(found)


def _brings_texts(step: Step) -> bool:
    if not isinstance(step.output, list) or not step.output:
        return False
    given = "\n".join(leaves(step.inputs))
    prose = [next((leaf for leaf in leaves(item) if leaf.count(" ") >= 3), None) for item in step.output[:_SAMPLES]]
    return all(prose) and not any(text in given for text in prose if text)
