"""General edits of prompt files and parameters, as any prompt-writing guide lists them.

None of them knows a task, a data set or a score: what they may look at is the file and the step's name and category.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

_SECTION = re.compile(r"^(System|User|Assistant):[ \t]*$", re.MULTILINE)
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*$\n?", re.DOTALL | re.MULTILINE)
_JSON_OUTPUT = re.compile(r"^output:[ \t]*json\b", re.MULTILINE)
_COUNT_NAME = re.compile(r"(top_?)?[kn](_.+)?|.+_[kn]|(n|num|max)_(results|passages|documents|docs|candidates)")
_MAX_COUNT = 200
_MAX_TOKENS = 8000


@dataclass(frozen=True, slots=True)
class Facts:
    """What an edit may know: the step, how attribution calls its failures, and whether it is the last model step."""

    step: str
    category: str
    final: bool


@dataclass(frozen=True, slots=True)
class PromptEdit:
    """One general instruction for a prompt's System section.

    `categories` are those of attribution that it addresses. `told` matches a prompt that says it already; `needs`,
    where set, matches prompts for which it makes sense. Both are searched in the whole file.
    """

    technique: str
    hypothesis: str
    categories: frozenset[str]
    instruction: str
    told: re.Pattern[str]
    needs: re.Pattern[str] | None = None
    for_json: bool | None = None
    """True: for prompts that ask for JSON only; False: for those that do not; None: for both."""
    final_only: bool = False

    def apply(self, text: str, facts: Facts) -> str | None:
        """The prompt file with the instruction added, or None where it does not fit or is there already."""
        body = text[len(front_matter(text)) :]
        if self.told.search(body) or (self.final_only and not facts.final):
            return None
        if self.needs is not None and not self.needs.search(body):
            return None
        if self.for_json is not None and self.for_json != asks_for_json(text):
            return None
        return append_to_system(text, self.instruction)


def _pattern(expression: str) -> re.Pattern[str]:
    return re.compile(expression, re.IGNORECASE)


PROMPT_EDITS: tuple[PromptEdit, ...] = (
    PromptEdit(
        technique="output contract",
        hypothesis="`{step}` says more than its answer; told to give the answer alone, its reply can be read as one",
        categories=frozenset({"format", "truncated", "error"}),
        instruction="Answer with only the final answer and nothing else: no explanation, no introduction, no "
        "closing sentence. If the answer is one of several options that have an id, answer with only the id of the "
        "chosen option.",
        told=_pattern(r"nothing else|answer with only|(only|just) the (final )?(answer|id|label|name)|no explanation"),
        for_json=False,
    ),
    PromptEdit(
        technique="json contract",
        hypothesis="`{step}` wraps or leaves out fields of its JSON; an exact contract keeps it readable",
        categories=frozenset({"format", "error", "lost", "empty"}),
        instruction="Reply with plain JSON: one object with all the fields that are asked for, null where a value is "
        "missing. No code fence, no comments, no text before or after it.",
        told=_pattern(r"plain json|code fence"),
        for_json=True,
    ),
    PromptEdit(
        technique="always answer",
        hypothesis="`{step}` declines or leaves its reply empty; told to commit, it gives its best answer",
        categories=frozenset({"refusal", "empty", "cascade"}),
        instruction="Always give your best answer, even when you are not certain. Never leave the reply empty and "
        'never answer "unknown".',
        told=_pattern(r"best answer|never (leave|answer)|always (answer|give)"),
    ),
    PromptEdit(
        technique="be brief",
        hypothesis="the reply of `{step}` is cut off before it ends; a short one fits",
        categories=frozenset({"truncated"}),
        instruction="Be brief: keep the whole reply under 100 words, and put what matters most first.",
        told=_pattern(r"be (brief|concise)|under \d+ words"),
    ),
    PromptEdit(
        technique="quote the evidence",
        hypothesis="what later steps need is lost in `{step}`; exact quotes carry it through",
        categories=frozenset({"lost", "empty", "cascade"}),
        instruction="Quote the exact words of the input that matter. Keep names, numbers, dates and causes as they are "
        "written; leave out nothing that a later step could need.",
        told=_pattern(r"exact words|quote|verbatim|keep names"),
    ),
    PromptEdit(
        technique="short span",
        hypothesis="`{step}` answers in sentences where a span of a few words is wanted",
        categories=frozenset({"format"}),
        instruction="Give the shortest span that answers: a name, a number, a date, an id, yes or no; not a sentence.",
        told=_pattern(r"shortest|short span|not a sentence|few words"),
        for_json=False,
        final_only=True,
    ),
    PromptEdit(
        technique="expert role",
        hypothesis="as a careful expert `{step}` reads its input more closely",
        categories=frozenset({"reasoning", "retrieval_miss", "retrieval_partial", "unidentified", "refusal"}),
        instruction="You are a careful expert in this field. Read every word of the input before you decide.",
        told=_pattern(r"\byou are (a|an|the)\b[^.\n]*\b(expert|specialist|analyst|professional)"),
    ),
    PromptEdit(
        technique="weigh the evidence",
        hypothesis="`{step}` settles on the first plausible choice; weighing the evidence for each corrects it",
        categories=frozenset({"reasoning", "retrieval_miss", "retrieval_partial", "unidentified"}),
        instruction="Consider each option and weigh the evidence word by word before you choose. Prefer the most "
        "specific option that the evidence supports.",
        told=_pattern(r"weigh the evidence|(consider|compare) (each|every) (option|candidate)"),
    ),
    PromptEdit(
        technique="compare the listed candidates",
        hypothesis="`{step}` is shown a list and does not use all of it; told to compare entry by entry, it does",
        categories=frozenset({"reasoning", "retrieval_partial", "unidentified"}),
        instruction="Compare the listed entries one by one with the input, word by word, and choose the entry that "
        "shares the most specific words with it; an earlier place in the list is no proof.",
        told=_pattern(r"one by one"),
        needs=_pattern(r"\{%-?\s*for\b"),
    ),
    PromptEdit(
        technique="step by step",
        hypothesis="`{step}` does several things at once; taken one after another they go wrong less often",
        categories=frozenset({"reasoning", "retrieval_miss", "retrieval_partial", "unidentified", "lost", "cascade"}),
        instruction="Work step by step: find the facts that matter, compare them with what is asked, then decide. Keep "
        "these steps to yourself and reply with the result.",
        told=_pattern(r"step by step"),
    ),
    PromptEdit(
        technique="no alternatives",
        hypothesis="`{step}` hedges between several answers; forbidden to, it commits to one",
        categories=frozenset({"format", "reasoning", "retrieval_miss", "unidentified", "refusal"}),
        instruction="Do not name alternatives, do not hedge and do not repeat the question: decide for one answer.",
        told=_pattern(r"alternatives|do not hedge"),
    ),
)  # fmt: skip
"""In the order in which those that address a category are tried."""


def edits_for(category: str) -> tuple[PromptEdit, ...]:
    """The prompt edits that address a category, the most promising first."""
    return tuple(edit for edit in PROMPT_EDITS if category in edit.categories)


# -- prompt files


def front_matter(text: str) -> str:
    """The YAML front matter of a prompt file with its two fences, or an empty text."""
    match = _FRONT_MATTER.match(text)
    return match.group(0) if match else ""


def asks_for_json(text: str) -> bool:
    """Whether a prompt declares JSON output or speaks of JSON."""
    head = front_matter(text)
    return bool(_JSON_OUTPUT.search(head)) or "json" in text[len(head) :].lower()


def append_to_system(text: str, addition: str) -> str | None:
    """The prompt file with one more line in its System section, which is created where there is none.

    None where the file has no section at all, or says the same already.
    """
    if addition in text:
        return None
    start = len(front_matter(text))
    marks = list(_SECTION.finditer(text, start))
    if not marks:
        return None
    if marks[0].group(1) != "System":
        at = marks[0].start()
        return f"{text[:at]}System:\n{addition}\n\n{text[at:]}"
    end = marks[1].start() if len(marks) > 1 else len(text)
    told = text[: marks[0].end()] + text[marks[0].end() : end].rstrip()
    rest = text[len(told) :]
    return f"{told}\n{addition}{rest or chr(10)}"


def insert_in_user(text: str, block: str) -> str | None:
    """The prompt file with `block` in its last User section, before the last labelled field or else at its end.

    A labelled field is a line such as `Question: {{ question }}` or `Answer:`.
    """
    start = len(front_matter(text))
    marks = list(_SECTION.finditer(text, start))
    users = [index for index, mark in enumerate(marks) if mark.group(1) == "User"]
    if not users:
        return None
    begin = marks[users[-1]].end() + 1
    end = marks[users[-1] + 1].start() if users[-1] + 1 < len(marks) else len(text)
    section = text[begin:end]
    labels = list(re.finditer(r"^[A-Z][^\n:{}]{0,60}:[ \t]*(\{\{.*)?$", section, re.MULTILINE))
    if labels:
        at = begin + labels[-1].start()
        return f"{text[:at]}{block}\n{text[at:]}"
    told = section.rstrip()
    rest = section[len(told) :]
    return f"{text[:begin]}{told}\n\n{block.rstrip()}{rest or chr(10)}{text[end:]}"


# -- parameters


def double_counts(spec: str) -> str | None:
    """`pipeline.yaml` with every count of things to retrieve (`k`, `top_k`, ...) under `params:` doubled, or None."""
    changed = spec
    for value, node in reversed(list(_counts(spec))):
        if 0 < value < _MAX_COUNT:
            changed = _replaced(changed, node, str(min(2 * value, _MAX_COUNT)))
    return changed if changed != spec else None


def cool_sampling(prompt: str) -> str | None:
    """The prompt file with `temperature: 0` in its front matter, or None where that is so already."""
    return _set_sampling(prompt, "temperature", "0")


def double_max_tokens(prompt: str) -> str | None:
    """The prompt file with twice its `max_tokens`, or None where it sets none."""
    node = _entries(_entries(_compose(_yaml_of(prompt))).get("sampling")).get("max_tokens")
    if not isinstance(node, yaml.ScalarNode) or not node.value.isdigit() or int(node.value) >= _MAX_TOKENS:
        return None
    return _set_sampling(prompt, "max_tokens", str(min(2 * int(node.value), _MAX_TOKENS)))


def _counts(spec: str) -> Iterator[tuple[int, yaml.Node]]:
    for name, node in _entries(_entries(_compose(spec)).get("params")).items():
        if isinstance(node, yaml.ScalarNode) and _COUNT_NAME.fullmatch(name) and node.value.isdigit():
            yield int(node.value), node


def _set_sampling(prompt: str, key: str, value: str) -> str | None:
    head = front_matter(prompt)
    if not head:
        return f"---\nsampling: {{{key}: {value}}}\n---\n{prompt}"
    body = prompt[len(head) :]
    inner = _yaml_of(prompt)
    sampling = _entries(_compose(inner)).get("sampling")
    node = _entries(sampling).get(key)
    if isinstance(node, yaml.ScalarNode):
        if _number(node.value) == _number(value):
            return None
        changed = _replaced(inner, node, value)
    elif isinstance(sampling, yaml.MappingNode) and sampling.flow_style and sampling.value:
        at = sampling.start_mark.index + 1
        changed = f"{inner[:at]}{key}: {value}, {inner[at:]}"
    elif isinstance(sampling, yaml.MappingNode) and not sampling.flow_style:
        indent = " " * sampling.start_mark.column
        at = sampling.start_mark.index
        changed = f"{inner[:at]}{key}: {value}\n{indent}{inner[at:]}"
    elif sampling is None:
        changed = f"{inner}sampling: {{{key}: {value}}}\n"
    else:
        return None
    start = head.index("\n") + 1
    return head[:start] + changed + head[start + len(inner) :] + body


def _yaml_of(prompt: str) -> str:
    match = _FRONT_MATTER.match(prompt)
    return match.group(1) if match else ""


def _compose(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None


def _entries(node: yaml.Node | None) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {str(key.value): value for key, value in node.value}


def _replaced(text: str, node: yaml.Node, value: str) -> str:
    return text[: node.start_mark.index] + value + text[node.end_mark.index :]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
