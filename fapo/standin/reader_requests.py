"""A reply to a request that also says what the reply has to look like: plain constraints, obeyed when told to check.

A prompt that shows a `Request:` and asks for a response gets a few sentences on its subject. Of the constraints that
the reader understands it obeys some by chance, the same ones for the same request and step, and all of them where the
prompt tells it to go through them. With a `Response:` below the request it goes on from that one. A `Query:` above it
is what the request was made of; told to take care, the reader puts the details back that were left out.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fapo.standin.reader_private import with_details
from fapo.standin.reader_prompt import content_of
from fapo.standin.reader_words import stems

_REQUEST = re.compile(r"^Request:[ \t]*\n?(.*?)(?=^Response:|\Z)", re.DOTALL | re.MULTILINE)
_ORIGINAL = re.compile(r"^(?:User )?[Qq]uery:[ \t]*\n?(.*?)(?=^Request:)", re.DOTALL | re.MULTILINE)
_RESPONSE = re.compile(r"^Response:[ \t]*\n?(.*)\Z", re.DOTALL | re.MULTILINE)
_BY_CHANCE = 40  # percent
_NUMBER = {word: n for n, word in enumerate("zero one two three four five six seven eight nine ten".split())}

Apply = Callable[[str, re.Match[str]], str]


@dataclass(frozen=True, slots=True)
class Constraint:
    """How a constraint is worded, and what to do to a reply."""

    worded: re.Pattern[str]
    apply: Apply


def reply_to_request(messages: Sequence[Mapping[str, Any]], *, careful: bool) -> str | None:
    """The reply; None where the last message shows no request to respond to."""
    text = content_of(messages[-1])
    found = _REQUEST.search(text)
    told = "\n".join([*map(content_of, messages[:-1]), text[: found.start()] if found else ""])
    if found is None or not re.search(r"\brespon", told, re.I):
        return None
    request = found.group(1).strip()
    given = _RESPONSE.search(text, found.end())
    reply = given.group(1).strip() if given else _sentences_on(request)
    for number, constraint in enumerate(_CONSTRAINTS):
        match = constraint.worded.search(request)
        if match is not None and (careful or _chance(request, told, number)):
            reply = constraint.apply(reply, match)
    original = _ORIGINAL.search(text)
    return with_details(reply, original.group(1).strip()) if original is not None and careful else reply


def _chance(request: str, told: str, number: int) -> bool:
    digest = hashlib.sha256(f"{number}\0{request}\0{told}".encode()).digest()
    return int.from_bytes(digest[:4]) % 100 < _BY_CHANCE


def _sentences_on(request: str) -> str:
    subject = " and ".join(sorted(set(stems(request)), key=len)[-2:]) or "this"
    return (
        f"There is much to say about {subject}, and opinions differ. A short answer leaves out details. "
        "Most people begin with the basics, then look at examples. After that the rest is easier."
    )


def _count(text: str) -> int:
    return _NUMBER.get(text.lower(), int(text) if text.isdigit() else 1)


def _parts(reply: str) -> list[str]:
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", reply) if part.strip()]


def _words_of(text: str) -> list[str]:
    return [word.strip(" .'\"`*") for word in re.split(r",| and |;", text) if word.strip(" .'\"`*")]


def _with_keywords(reply: str, match: re.Match[str]) -> str:
    missing = [word for word in _words_of(match.group(1)) if word.lower() not in reply.lower()]
    return f"{reply} Think of {' and of '.join(missing)}." if missing else reply


def _shorter(reply: str, match: re.Match[str]) -> str:
    return " ".join(reply.split()[: max(int(match.group(1)) - 1, 1)])


def _longer(reply: str, match: re.Match[str]) -> str:
    more = reply
    while len(more.split()) < int(match.group(1)):
        more = f"{more} {reply}"
    return more


def _bullets(reply: str, match: re.Match[str]) -> str:
    wanted, parts = _count(match.group(1)), _parts(reply)
    parts = [parts[place % len(parts)] for place in range(wanted)]
    return "\n".join(f"* {part.lstrip('* ')}" for part in parts)


def _marked(reply: str, match: re.Match[str]) -> str:
    return "\n".join(f"{match.group(1)} {part}" for part in _parts(reply))


def _highlighted(reply: str, match: re.Match[str]) -> str:
    words = reply.split()
    return " ".join(f"*{word}*" if place < _count(match.group(1)) else word for place, word in enumerate(words))


def _numbered(reply: str, match: re.Match[str]) -> str:
    bare = re.sub(r"\d+", "", reply)
    return f"{bare} {' '.join(str(n) for n in range(1, int(match.group(1)) + 1))}"


def _stairs(reply: str, match: re.Match[str]) -> str:
    return "\n".join(f"{' ' * place}{part}" for place, part in enumerate(_parts(reply)))


def _cheerful(reply: str, match: re.Match[str]) -> str:
    return " ".join(f"{part.rstrip('.!?')} 🙂." for part in _parts(reply))


def _constraint(worded: str, apply: Apply) -> Constraint:
    return Constraint(re.compile(worded, re.IGNORECASE), apply)


_QUOTED = r"[\"'“]([^\"'”]+)[\"'”]"
# Those that bring words in come first, those that wrap all of it last.
_CONSTRAINTS = (
    _constraint(r"at least (\d+) words", _longer),
    _constraint(r"(?:less|fewer) than (\d+) words", _shorter),
    _constraint(r"include the keywords?:? ([^.\n]+)", _with_keywords),
    _constraint(r"exactly (\d+) numbers", _numbered),
    _constraint(r"(?:exactly|use) (\w+) bullet points", _bullets),
    _constraint(r"instead of bullet points use (\S+?)\.?(?:\s|$)", _marked),
    _constraint(r"highlight at least (\w+) ", _highlighted),
    _constraint(r"incrementally indenting", _stairs),
    _constraint(r"emoji at the end of every sentence", _cheerful),
    _constraint(r"at least (\w+) placeholders", lambda r, m: r + " [name]" * _count(m.group(1))),
    _constraint(r"(?:no|without|not use any) commas", lambda r, m: r.replace(",", "")),
    _constraint(r"lowercase letters|all lower ?case", lambda r, m: r.lower()),
    _constraint(r"all capital letters|only capital letters", lambda r, m: r.upper()),
    _constraint(r"title case", lambda r, m: " ".join(word.capitalize() for word in r.split())),
    _constraint(r"each word on a new line", lambda r, m: "\n".join(r.split())),
    _constraint(r"not contain any whitespace", lambda r, m: "".join(r.split())),
    _constraint(r"My Answer: \[", lambda r, m: f"My Answer: {r} My Conclusion: it depends. Future Outlook: open."),
    _constraint(r"postscript[^.\n]*?(P\.P\.S|P\.S\.)", lambda r, m: f"{r}\n\n{m.group(1)} There is more to it."),
    _constraint(rf"end (?:your \w+ |it )?with (?:this|the) exact phrase {_QUOTED}", lambda r, m: f"{r} {m.group(1)}"),
    _constraint(r"title[^.\n]*double angular brackets", lambda r, m: f"<<A short look>>\n{r}"),
    _constraint(r"two different responses", lambda r, m: f"{r}\n******\nIn other words, it depends."),
    _constraint(r"entire (?:output|response) in JSON", lambda r, m: json.dumps({"response": r})),
    _constraint(r"wrap[^.\n]*double quotation marks", lambda r, m: '"' + r.strip('"') + '"'),
    _constraint(r"following options: ([^.\n]+?)\.", lambda r, m: re.split(r"/|, | or ", m.group(1))[0].strip()),
    _constraint(r"multiples of 7", lambda r, m: "14, 21, 28, 35, 42, 49"),
    _constraint(r"only output this sentence here[^.]*\.", lambda r, m: m.group(0)),
)
