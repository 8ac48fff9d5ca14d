"""What review turns down before it costs anything, and what it lets through."""

from __future__ import annotations

import pytest

from fapo.records import Case, Level
from fapo.review.gate import Review, ReviewContext, review
from fapo.review.leaks import LeakIndex

CODE = """\
from fapo import Prediction


async def run(inputs, ctx):
    gist = await ctx.llm("gist", message=inputs["message"])
    return Prediction(output=await ctx.llm("route", message=inputs["message"], gist=gist))
"""
ROUTE = "---\nsampling: {temperature: 0.0}\n---\nSystem:\nChoose a team.\n\nUser:\nMessage: {{ message }}\n\nGist: {{ gist }}\n"
SPEC = "name: p\nbenchmark: b\nmodels: {task: m}\nparams: {k: 7}\n"
BASE = {
    "pipeline.yaml": SPEC.encode(),
    "pipeline.py": CODE.encode(),
    "prompts/gist.md": b"User:\nSummarize in one line.\n\nMessage: {{ message }}\n",
    "prompts/route.md": ROUTE.encode(),
    "resources/teams.tsv": b"billing\tinvoices\nsales\toffers\n",
}
MESSAGE = (
    "Good day, since Tuesday my parcel from Bergen sits with the courier and nobody at your desk picks up the phone"
)
CASES = [
    Case("ticket-00017", {"message": MESSAGE}, {"answer": "escalate to night desk"}),
    Case("ticket-00018", {"message": "a short one"}, {"answer": "billing"}),
]
LEAKS = LeakIndex.build(CASES)
ALL: tuple[Level, ...] = ("prompt", "parameter", "structure")


def judge(changes: dict[str, str | bytes | None], levels: tuple[Level, ...] = ALL, *, closed: bool = False) -> Review:
    candidate = dict(BASE)
    for path, content in changes.items():
        if content is None:
            del candidate[path]
        else:
            candidate[path] = content if isinstance(content, bytes) else content.encode()
    return review(BASE, candidate, ReviewContext(frozenset(levels), BASE, LEAKS, closed))


def told(text: str) -> str:
    """The route prompt with one more sentence."""
    return ROUTE.replace("Choose a team.", f"Choose a team. {text}")


def code(line: str) -> str:
    """The pipeline with one more line at the start of `run`."""
    return CODE.replace("    gist =", f"    {line}\n    gist =", 1)


LEGITIMATE: dict[str, tuple[dict[str, str | bytes | None], Level]] = {
    "a rule in a prompt": ({"prompts/route.md": told("Answer with only the name of the team.")}, "prompt"),
    "several rules": (
        {"prompts/route.md": told("Weigh each team. Parcels belong to shipping. No explanation.")},
        "prompt",
    ),
    "a made-up example": ({"prompts/route.md": told("For example, a lost umbrella goes to the front desk.")}, "prompt"),
    "two prompts": (
        {"prompts/route.md": told("Be brief."), "prompts/gist.md": "User:\nGist of: {{ message }}\n"},
        "prompt",
    ),
    "a warmer temperature": ({"prompts/route.md": ROUTE.replace("0.0", "0.7")}, "parameter"),
    "another parameter": ({"pipeline.yaml": SPEC.replace("7", "12")}, "parameter"),
    "a new parameter": ({"pipeline.yaml": SPEC.replace("k: 7", "k: 7, n: 3")}, "parameter"),
    "plain code": ({"pipeline.py": code("inputs = {**inputs, 'message': inputs['message'].strip()}")}, "structure"),
    "a retrieval step": (
        {
            "pipeline.py": "import csv\nfrom pathlib import Path\n\nimport bm25s\nimport Stemmer\n\n"
            "TEAMS = list(csv.reader((Path(__file__).parent / 'resources' / 'teams.tsv').open(encoding='utf-8')))\n"
            + CODE
        },
        "structure",
    ),
    "a helper module": ({"helper.py": "X = 1\n", "pipeline.py": "from helper import X\n" + CODE}, "structure"),
    "a new step with its prompt": (
        {"prompts/check.md": "User:\n{{ draft }}\n", "pipeline.py": code("await ctx.llm('check', draft='x')")},
        "structure",
    ),
    "a new placeholder with code for it": (
        {"prompts/route.md": ROUTE + "{{ extra }}\n", "pipeline.py": CODE.replace("gist=gist", "gist=gist, extra=1")},
        "structure",
    ),
    "a new resource": ({"resources/synonyms.txt": "parcel package\n"}, "structure"),
    "a regular expression": (
        {"pipeline.py": "import re\n" + code("re.sub(r'\\s+', ' ', inputs['message'])")},
        "structure",
    ),
    "a vote": ({"pipeline.py": "import asyncio\nfrom collections import Counter\n" + CODE}, "structure"),
}


@pytest.mark.parametrize("change", LEGITIMATE)
def test_honest_work_passes_at_its_level(change: str) -> None:
    changes, level = LEGITIMATE[change]
    found = judge(changes)
    assert found.findings == ()
    assert found.level == level


@pytest.mark.parametrize("change", LEGITIMATE)
def test_the_same_work_is_turned_down_while_its_level_is_closed(change: str) -> None:
    changes, level = LEGITIMATE[change]
    others = tuple(name for name in ALL if name != level)
    assert not judge(changes, others).passed


ESCAPED = "".join(f"\\u{ord(mark):04x}" for mark in MESSAGE)
VIOLATIONS: dict[str, dict[str, str | bytes | None]] = {
    "nothing changed": {},
    "another model": {"pipeline.yaml": SPEC.replace("task: m", "task: larger")},
    "another benchmark": {"pipeline.yaml": SPEC.replace("benchmark: b", "benchmark: easy")},
    "other limits": {"pipeline.yaml": SPEC + "limits: {timeout_s: 9999}\n"},
    "broken YAML": {"pipeline.yaml": "name: [\n"},
    "no pipeline.yaml": {"pipeline.yaml": None},
    "a changed resource": {"resources/teams.tsv": "billing\n"},
    "a deleted resource": {"resources/teams.tsv": None},
    "a lost placeholder": {"prompts/route.md": ROUTE.replace("Gist: {{ gist }}\n", "")},
    "a placeholder that nothing fills": {"prompts/route.md": ROUTE + "{{ label }}\n"},
    "a broken template": {"prompts/route.md": ROUTE + "{% for x in %}\n"},
    "a prompt that outgrew its size": {"prompts/route.md": told("Think about it. " * 1000)},
    "a case's text in a prompt": {"prompts/route.md": told(MESSAGE)},
    "part of a case's text": {"prompts/route.md": told("since Tuesday my parcel from Bergen sits with the courier and")},
    "in capitals": {"prompts/route.md": told(MESSAGE.upper())},
    "with other spaces": {"prompts/route.md": told(MESSAGE.replace(" ", "\u00a0 \n"))},
    "with invisible characters": {"prompts/route.md": told(MESSAGE.replace("a", "a\u200b"))},
    "with fullwidth letters": {"prompts/route.md": told("".join(chr(ord(c) + 0xFEE0) if c > " " else c for c in MESSAGE))},
    "with other punctuation": {"prompts/route.md": told(MESSAGE.replace(" ", " - "))},
    "in code": {"pipeline.py": code(f"hint = {MESSAGE!r}")},
    "in a comment": {"pipeline.py": code(f"pass  # {MESSAGE}")},
    "in pieces that code joins": {"pipeline.py": code(f"hint = {MESSAGE[:50]!r} {MESSAGE[50:]!r}")},
    "escaped in code": {"pipeline.py": code(f'hint = "{ESCAPED}"')},
    "in a new resource": {"resources/notes.txt": MESSAGE},
    "a branch on a piece of a case": {"pipeline.py": code("if 'my parcel from Bergen sits' in inputs['message']: return 'x'")},
    "a case id": {"prompts/route.md": told("As in ticket-00017.")},
    "an expected answer": {"prompts/route.md": told("If in doubt, escalate to night desk.")},
    "os": {"pipeline.py": "import os\n" + CODE},
    "subprocess": {"pipeline.py": "import subprocess\n" + CODE},
    "a socket": {"pipeline.py": "from socket import create_connection\n" + CODE},
    "ctypes": {"pipeline.py": "import ctypes\n" + CODE},
    "an import by name": {"pipeline.py": code("__import__('os').system('id')")},
    "importlib": {"pipeline.py": "import importlib\n" + CODE},
    "eval": {"pipeline.py": code("eval('1')")},
    "exec": {"pipeline.py": code("exec('1')")},
    "writing a file": {"pipeline.py": code("open('/tmp/x', 'w')")},
    "subclasses": {"pipeline.py": code("().__class__.__base__.__subclasses__()")},
    "globals of a function": {"pipeline.py": code("run.__globals__")},
    "a syntax error": {"pipeline.py": CODE + "def (:\n"},
    "binary code": {"pipeline.py": b"\xff\xfe"},
    "a binary prompt": {"prompts/route.md": b"\xff\xfe"},
    "a file of another kind": {"run.sh": "id\n"},
    "a huge resource": {"resources/big.txt": "x " * 2_000_000},
}  # fmt: skip


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_a_violation_is_named_in_one_line(violation: str) -> None:
    found = judge(VIOLATIONS[violation])
    assert found.findings
    for finding in found.findings:
        assert finding.message
        assert "\n" not in finding.message


def test_class_names_may_be_told_where_labels_are_a_closed_public_set() -> None:
    change: dict[str, str | bytes | None] = {"prompts/route.md": told("If in doubt, escalate to night desk.")}
    assert not judge(change, closed=False).passed
    assert judge(change, closed=True).passed


def test_a_message_does_not_tell_which_answer_was_hit() -> None:
    found = judge({"prompts/route.md": told("If in doubt, escalate to night desk.")})
    assert all("night desk" not in finding.message for finding in found.findings)


ARGUED = Case("c-1", {"prompt": "Write about maps in 94 words. Use `title_case` for names."}, {
    "instruction_id_list": ["length_constraints:number_words"],
    "kwargs": [{"num_words": 94, "relation": "at least", "title_case": True}],
})  # fmt: skip


@pytest.mark.parametrize(
    ("text", "closed", "passes"),
    [
        ("Handle length_constraints:number_words first.", False, False),
        ("Keep to num_words.", False, False),
        ("Keep to the number of words that is asked for.", False, True),
        ("Write names in title_case.", False, True),
        ("Keep to num_words.", True, True),
    ],
)
def test_what_only_the_scorer_is_told_is_not_repeated(text: str, closed: bool, passes: bool) -> None:
    leaks = LeakIndex.build([ARGUED] * 9)
    context = ReviewContext(frozenset(ALL), BASE, leaks, closed)
    found = review(BASE, BASE | {"prompts/route.md": told(text).encode()}, context)
    assert found.passed is passes
    assert all("num_words" not in finding.message and finding.line is None for finding in found.findings)


def test_what_the_owner_wrote_is_no_leak() -> None:
    base = BASE | {"prompts/route.md": told(MESSAGE).encode()}
    candidate = base | {"prompts/route.md": told(MESSAGE + " Be brief.").encode()}
    assert review(base, candidate, ReviewContext(frozenset(ALL), base, LEAKS, False)).passed
