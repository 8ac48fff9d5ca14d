"""What can be changed at a step of a failing case to see whether the step is to blame.

teacher: a stronger model on the same inputs; what it turns, a better prompt might: the ceiling of prompts.
gold: documents that name what is missing, among those that a retrieval brought: the ceiling of that retrieval.
context: such documents below a model step's message: the ceiling of bringing them to it, whatever the way.
sample: the step once more, its inputs as they were: what it turns, chance decided.
corrupt: the output of another case; what passing cases lose by it says whether anything depends on the step.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fapo.attribution.evidence import brought
from fapo.attribution.gold import Value, evidence_for, read_gold
from fapo.attribution.text import Texts, document_titles, holds, leaves
from fapo.attribution.view import CaseView, StepView
from fapo.evaluation.intervention import Intervention

Kind = Literal["teacher", "gold", "context", "sample", "corrupt"]
KINDS: tuple[Kind, ...] = ("teacher", "gold", "context", "sample", "corrupt")
SHOWN_DOCUMENTS = 8
"""How many documents an oracle context holds, the gold ones among them: finding them stays the step's work."""
_LARGEST_RESOURCE = 8 * 2**20
FRESH_TRIAL = 1000
"""By how much the number of a fresh sample is above that of the trial that is replayed."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to change a pipeline's run: what is done at which step."""

    step: str
    kind: Kind


class Library:
    """The documents that are known: what retrievals brought in any case, and the lines of the pipeline's resources."""

    def __init__(self, outputs: Iterable[Any], texts: Iterable[str]) -> None:
        found = [item for output in outputs if isinstance(output, list) for item in output if _is_document(item)]
        self.items: list[Any] = list({repr(item): item for item in found}.values())
        self.lines = list(dict.fromkeys(line.strip() for text in texts for line in text.splitlines() if line.strip()))
        self._texts = Texts()
        self._titled: dict[str, Any] = {}
        for item in [*self.lines, *self.items]:
            for title, _ in _titles(item):
                self._titled.setdefault(title, item)

    def document(self, value: Value, question: str) -> Any | None:
        """A document that has one of the value's forms as its title, else the one that holds it and shares most words
        with the question."""
        titled = next((self._titled[form] for form in value.forms if form in self._titled), None)
        if titled is not None or not value.is_traceable:
            return titled
        holding = [item for item in self.items if holds(self.text(item), value.forms)]
        words = set(question.split())
        return max(holding, key=lambda item: len(words & set(self.text(item).split())), default=None)

    def text(self, item: Any) -> str:
        """A document as it is looked for in what a step was shown."""
        return self._texts.value(item)

    def others(self, rng: random.Random, number: int, *, like: Any) -> list[Any]:
        """Documents of the same source, drawn at random."""
        source: Sequence[Any] = self.lines if like in self.lines else self.items
        return rng.sample(source, min(number, len(source)))


def _is_document(item: Any) -> bool:
    return isinstance(item, str | dict) and any(leaf.strip() for leaf in leaves(item))


def _titles(item: Any) -> Iterator[tuple[str, bool]]:
    """The titles of one document: of a mapping those of its fields, of a text its own, or its first columns."""
    yield from document_titles(item)
    if isinstance(item, str) and "\t" in item:
        yield from document_titles(item.split("\t"))


def arms(views: Sequence[CaseView], *, teacher: bool) -> tuple[Arm, ...]:
    """What can be changed in cases like these, in the order in which the steps run."""
    found: dict[Arm, None] = {}
    for view in views:
        for step in view.steps:
            if step.is_llm:
                kinds: tuple[Kind, ...] = ("teacher", "context", "sample") if teacher else ("context", "sample")
                found |= {Arm(step.name, kind): None for kind in kinds}
            elif view.is_retrieval(step):
                found[Arm(step.name, "gold")] = None
    return tuple(found)


def intervention(
    arm: Arm, view: CaseView, library: Library, *, teacher: str | None, others: Sequence[CaseView] = ()
) -> Intervention | None:
    """What the arm does to a case; None where it would change nothing, or cannot be done."""
    steps = [step for step in view.steps if step.name == arm.step]
    if not steps:
        return None
    match arm.kind:
        case "teacher":
            return Intervention(arm.step, model=teacher)
        case "sample":
            return Intervention(arm.step, trial=FRESH_TRIAL + view.record.trial)
        case "gold":
            return _gold(view, steps, library)
        case "context":
            return _context(view, steps, library)
        case "corrupt":
            return _corrupt(steps, others)


def needed(view: CaseView) -> tuple[Value, ...]:
    """What a document must name to help: the gold evidence where it is declared, else the answers themselves."""
    gold = read_gold(view)
    return gold.evidence or tuple(value for value in gold.fields if value.is_traceable)


def _gold(view: CaseView, steps: Sequence[StepView], library: Library) -> Intervention | None:
    """Gold documents that no retrieval brought, in front of what the last of `steps` brought, cut to its length.

    Where the benchmark says which of them the step is to bring, that one alone: what later hops find is their work.
    """
    wanted = evidence_for(view, steps[0].name) or needed(view)
    missing = [value for value in wanted if not any(brought(step, value) for step in view.retrievals)]
    gold = [document for value in missing if (document := library.document(value, view.question)) is not None]
    last = steps[-1].step.output
    if not gold or not isinstance(last, list):
        return None
    shaped = [_like(document, last) for document in gold]
    outputs = [*(step.step.output for step in steps[:-1]), [*shaped, *last][: max(len(last), len(shaped))]]
    return Intervention(steps[0].name, outputs=tuple(outputs))


def _like(document: Any, others: Sequence[Any]) -> Any:
    """A document in the shape of those beside it: a text among texts."""
    if others and isinstance(others[0], str) and not isinstance(document, str):
        return " | ".join(leaves(document))
    if others and isinstance(others[0], dict) and isinstance(document, str):
        keys = list(others[0])
        parts = document.split("\t") if "\t" in document else document.split(" | ", 1)
        return dict(zip(keys, [*parts, *[""] * len(keys)], strict=False))
    return document


def _context(view: CaseView, steps: Sequence[StepView], library: Library) -> Intervention | None:
    """Gold documents that the step was not shown, among others of their kind."""
    known = [document for value in needed(view) if (document := library.document(value, view.question)) is not None]
    gold = [document for document in known if not any(library.text(document) in step.shown for step in steps)]
    if not gold:
        return None
    rng = random.Random(view.record.case_id)  # noqa: S311 - nothing here is a secret
    around = library.others(rng, SHOWN_DOCUMENTS - len(gold), like=gold[0])
    documents = list({repr(item): item for item in [*gold, *around]}.values())
    rng.shuffle(documents)
    text = "\n".join(f"- {' | '.join(leaves(document))}" for document in documents)
    return Intervention(steps[0].name, context=f"Possibly useful:\n{text}")


def _corrupt(steps: Sequence[StepView], others: Sequence[CaseView]) -> Intervention | None:
    """What the step put out in another case."""
    name = steps[0].name
    for other in others:
        outputs = tuple(step.step.output for step in other.steps if step.name == name and step.step.error is None)
        if outputs and outputs[0] != steps[0].step.output:
            return Intervention(name, outputs=outputs)
    return None


def unchangeable(views: Sequence[CaseView], possible: Sequence[Arm]) -> tuple[str, ...]:
    """Steps that no arm changes: replay can say nothing of them."""
    names = dict.fromkeys(step.name for view in views for step in view.steps)
    return tuple(name for name in names if not any(arm.step == name for arm in possible))


def resource_texts(variant: Path, corpus: Path | None = None) -> tuple[str, ...]:
    """The texts of a variant's resource files, and of a corpus; what is no text, or too large, is left out."""
    texts = []
    files = [*sorted((variant / "resources").rglob("*")), *sorted(corpus.glob("*") if corpus else ())]
    for path in files:
        if path.is_file() and path.stat().st_size <= _LARGEST_RESOURCE:
            with contextlib.suppress(UnicodeDecodeError):
                texts.append(path.read_text(encoding="utf-8"))
    return tuple(texts)
