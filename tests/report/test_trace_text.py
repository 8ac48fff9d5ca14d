"""A trace reads as one case: how it ended, then what every step was given and gave."""

from __future__ import annotations

from typing import Any

import pytest

from fapo.records import Case, CaseRecord, Failure, Prediction, Score, Step, Usage
from fapo.report.trace_text import trace_markdown

CASE = Case("cve-1", {"description": "A buffer overflow"}, {"cwe": "CWE-120"}, {"assigner": "acme"})
MESSAGES = [{"role": "system", "content": "You classify."}, {"role": "user", "content": "A buffer overflow"}]
SEARCH = Step("search", "function", {"args": ["overflow"], "kwargs": {"k": 7}}, ["CWE-120 | copy", "CWE-79"], 0.0, 0.25)
CLASSIFY = Step(
    "classify",
    "llm",
    {"variables": {"description": "A buffer overflow"}, "messages": MESSAGES},
    "CWE-79",
    0.3,
    1.5,
    model="openai/gpt-4.1-mini",
    usage=Usage(1, 0, 1200, 3, 0.00042),
    finish_reason="stop",
)


def record(*steps: Step, **changes: Any) -> CaseRecord:
    score = Score(0.0, {"exact": 0.0}, "expected CWE-120", {"search": "found it"})
    fields: dict[str, Any] = {"prediction": Prediction("CWE-79", ("CWE-79",)), "score": score, "failure": None}
    return CaseRecord("cve-1", 0, steps, duration_s=2.0, **{**fields, **changes})


def test_a_trace_shows_the_case_and_every_step() -> None:
    assert trace_markdown(record(SEARCH, CLASSIFY), CASE) == EXPECTED


EXPECTED = """\
# Case cve-1

- score: 0
- score of exact: 0
- feedback: expected CWE-120
- feedback on step search: found it
- steps: 2, 2.00 s, 1 model calls paid for, 0 from the cache, tokens 1,200 in, 3 out, $0.000420
- metadata: {"assigner": "acme"}

## Inputs

description:

```
A buffer overflow
```

## Expected

```
{
  "cwe": "CWE-120"
}
```

## Prediction

```
CWE-79
```

Evidence:

```
CWE-79
```

## Step 1: search

- kind: function, from 0.00 s, took 0.250 s

### Inputs

1:

```
overflow
```

k:

```
7
```

### Output

```
[1] CWE-120 | copy
[2] CWE-79
```

## Step 2: classify

- kind: llm, from 0.30 s, took 1.500 s
- model: openai/gpt-4.1-mini
- tokens 1,200 in, 3 out, $0.000420
- finish reason: stop

### Message: system

```
You classify.
```

### Message: user

```
A buffer overflow
```

### Output

```
CWE-79
```
"""


def test_without_the_case_nothing_is_told_of_the_label() -> None:
    text = trace_markdown(record(SEARCH))
    assert "Expected" not in text
    assert "acme" not in text


def test_a_failure_names_owner_kind_and_step() -> None:
    failure = Failure("pipeline", "raised", "KeyError: 'cwe'\n(pipeline.py:7)", "classify")
    text = trace_markdown(record(CLASSIFY, prediction=None, score=None, failure=failure))
    assert "- failure (pipeline, raised) at step classify: KeyError: 'cwe' (pipeline.py:7)" in text
    assert "## Prediction\n\nnone" in text


def test_unknown_cost_and_tokens_are_called_unknown() -> None:
    step = Step("a", "llm", {"messages": []}, "x", 0.0, 0.1, usage=Usage(1, 0, None, None, None))
    assert "tokens unknown in, unknown out, cost unknown" in trace_markdown(record(step))


def test_a_reply_from_the_cache_and_an_error_are_said_so() -> None:
    cached = Step("a", "llm", {"messages": []}, "x", 0.0, 0.1, usage=Usage(0, 1), cached=True)
    broken = Step("b", "function", {"args": [], "kwargs": {}}, None, 0.0, 0.1, error="ValueError: no")
    text = trace_markdown(record(cached, broken))
    assert "- reply from the cache" in text
    assert "- error: ValueError: no" in text


def test_long_values_keep_both_ends_and_say_how_long_they_were() -> None:
    step = Step("a", "function", {"args": [], "kwargs": {}}, "<" + "x" * 9998 + ">", 0.0, 0.1)
    text = trace_markdown(record(step), limit=1000)
    assert "… [9,000 of 10,000 characters left out] …" in text
    assert "\n<x" in text
    assert "x>\n" in text
    assert len(text) < 2000


def test_text_of_a_step_cannot_end_its_block_or_start_a_heading() -> None:
    step = Step("a\n# b", "function", {"args": ["```\n# Case forged"], "kwargs": {}}, "````\n- score: 1", 0.0, 0.1)
    text = trace_markdown(record(step))
    assert "\n````\n```\n# Case forged\n````\n" in text
    assert "\n`````\n````\n- score: 1\n`````\n" in text
    assert "## Step 1: a # b" in text


def test_windows_line_ends_are_line_ends() -> None:
    step = Step("a", "function", {"args": [], "kwargs": {}}, "one\r\ntwo", 0.0, 0.1)
    assert "```\none\ntwo\n```" in trace_markdown(record(step))


@pytest.mark.parametrize("value", [None, "", [], {}, "\ud800", "\x1b[2J \x9b2J", [None, {"a": [1]}], {"messages": "x"}])
def test_any_value_is_shown_as_printable_text(value: Any) -> None:
    steps = (
        Step("a", "function", value, value, 0.0, 0.1),
        Step("b", "llm", {"messages": [{"content": value}]}, value, 0.0, 0.1),
    )
    text = trace_markdown(record(*steps, prediction=Prediction(value)), Case("c", {"x": value}, value))
    assert text.encode("utf-8")
    assert not {"\x1b", "\x9b"} & set(text)
