"""What a right answer holds: the fields of `expected`, and the gold evidence behind it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fapo.attribution.text import gold_value, holds, is_traceable, leaves
from fapo.attribution.view import CaseView
from fapo.records import GOLD_BY_STEP, GOLD_EVIDENCE

_EVIDENCE_KEYS = frozenset({
    "evidence", GOLD_EVIDENCE, "titles", "gold_titles", "supporting_titles", "supporting_facts",
    "documents", "gold_documents", "passages",
})  # fmt: skip
_ALIAS_KEYS = frozenset({"aliases", "alternatives", "acceptable", "answer_aliases"})


@dataclass(frozen=True, slots=True)
class Value:
    """One value that a right answer needs: its wordings, any of which will do, as written and as looked
    for.
    """

    name: str
    written: tuple[str, ...]
    forms: tuple[str, ...]

    @property
    def is_traceable(self) -> bool:
        return bool(self.forms) and all(is_traceable(form) for form in self.forms)

    def __str__(self) -> str:
        text = " ".join(self.written[0].split()) if self.written else ""
        return f"“{text if len(text) <= 60 else text[:59] + '…'}”"


@dataclass(frozen=True, slots=True)
class Gold:
    """`evidence_is_answer` says that nothing but the evidence was asked for, as where a benchmark scores
    recall.
    """

    fields: tuple[Value, ...]
    evidence: tuple[Value, ...]
    evidence_is_answer: bool


def read_gold(view: CaseView) -> Gold:
    """The gold of a case. A list is a set of needed items where a list was predicted, else a choice of
    wordings.
    """
    expected, fields, evidence = view.case.expected, [], []
    if isinstance(expected, Mapping):
        for key, part in expected.items():
            if str(key) in _EVIDENCE_KEYS:
                evidence += _items("", part)
            elif str(key) not in _ALIAS_KEYS:
                predicted = view.answer_value.get(key) if isinstance(view.answer_value, dict) else None
                fields += _fields(str(key), part, predicted)
        fields = _with_aliases(fields, expected)
    elif isinstance(expected, list | tuple) and _predicts_documents(view):
        evidence = _items("", expected)
    else:
        fields = _fields("", expected, view.answer_value)
    only_evidence = bool(evidence) and not fields
    for key in sorted(_EVIDENCE_KEYS & view.case.metadata.keys()):
        evidence += _items("", view.case.metadata[key])
    traceable = {value.forms: value for value in evidence if value.is_traceable}
    return Gold(tuple(fields), tuple(traceable.values()), only_evidence)


def evidence_for(view: CaseView, step: str) -> tuple[Value, ...]:
    """The gold documents that the benchmark says this step is to bring; empty where it says nothing."""
    return tuple(_items("", view.case.metadata.get(GOLD_BY_STEP, {}).get(step, [])))


def _value(name: str, written: tuple[str, ...]) -> Value:
    pairs = [(text, form) for text in written if (form := gold_value(text))]
    forms = [form for _, form in pairs]
    forms += [other for form in forms if (other := _other_decimals(form))]
    return Value(name, tuple(text for text, _ in pairs), tuple(forms))


def _other_decimals(form: str) -> str:
    """99.5 as 99.50 and the reverse, for amounts; "" for anything else."""
    if re.fullmatch(r" -?\d+\.\d ", form):
        return f"{form[:-1]}0 "
    return f"{form[:-2]} " if re.fullmatch(r" -?\d+\.\d0 ", form) else ""


def _items(name: str, part: Any) -> list[Value]:
    return [value for leaf in leaves(part) if (value := _value(name, (leaf,))).forms]


def _fields(name: str, part: Any, predicted: Any) -> list[Value]:
    if isinstance(part, Mapping):
        inner = predicted if isinstance(predicted, dict) else {}
        return [
            value
            for key, item in part.items()
            for value in _fields(f"{name}.{key}" if name else str(key), item, inner.get(key))
        ]
    if isinstance(part, list | tuple) and (isinstance(predicted, list) or any(isinstance(i, Mapping) for i in part)):
        return _items(name, part)
    value = _value(name, tuple(leaves(part)))
    return [value] if value.forms else []


def _with_aliases(fields: list[Value], expected: Mapping[Any, Any]) -> list[Value]:
    aliases = tuple(leaf for key in sorted(_ALIAS_KEYS & expected.keys()) for leaf in leaves(expected[key]))
    if len(fields) != 1 or not aliases:
        return fields
    return [_value(fields[0].name, fields[0].written + aliases)]


def _predicts_documents(view: CaseView) -> bool:
    """Whether the prediction names what was retrieved rather than what a model answered."""
    if view.record.prediction is not None and view.record.prediction.evidence:
        return True
    first = next(leaves(view.answer_value), "") if isinstance(view.answer_value, list) else ""
    text = view.texts.text(first)
    from_model = any(text in step.output for step in view.steps if step.is_llm)
    return bool(text) and not from_model and any(text in step.output for step in view.retrievals)


def predicted_text(view: CaseView, value: Value) -> str:
    """The part of the prediction that stands where `value` should: its field's, else the whole of it."""
    part = view.answer_value
    for key in value.name.split(".") if value.name else ():
        if not isinstance(part, dict) or key not in part:
            return view.answer if not isinstance(view.answer_value, dict) else ""
        part = part[key]
    return view.texts.value(part)


def wrong_values(view: CaseView, gold: Gold) -> tuple[Value, ...]:
    """The fields that the case failed on: by the score's breakdown where it names them, else by comparing.

    All of them where none differs: then the score reads the answer in another way.
    """
    breakdown = view.record.score.breakdown if view.record.score else {}
    named = [value for value in gold.fields if value.name in breakdown]
    if named:
        wrong = [value for value in named if breakdown[value.name] < 1]
    else:
        wrong = [value for value in gold.fields if not holds(predicted_text(view, value), value.forms)]
    return tuple(wrong) or gold.fields
