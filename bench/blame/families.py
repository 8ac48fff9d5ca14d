"""Healthy pipelines on made-up data, and faults that can be planted into a known step of each.

The offline reader answers their model steps, so that every score here is the machinery's and no model's.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]
CASES = 40


@dataclass(frozen=True, slots=True)
class Fault:
    """`edits` are (file, old text, new text). The fault lies in `step`, and `level` can mend it."""

    name: str
    step: str
    level: str
    edits: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """A pipeline that works: its files, how a case is made, and what can be broken."""

    name: str
    score: str
    files: Mapping[str, str]
    make_rows: Callable[[random.Random], list[Row]]
    faults: tuple[Fault, ...]

    def write(self, directory: Path, fault: Fault | None = None) -> None:
        """Write the pipeline with its cases; `fault` planted, if there is one."""
        files = dict(self.files)
        for name, old, new in fault.edits if fault else ():
            if old not in files[name]:
                raise ValueError(f"{self.name}, {fault and fault.name}: {name} has no {old!r}")
            files[name] = files[name].replace(old, new)
        spec = f"name: {self.name}\ndata: {{train: data/train.jsonl, validation: data/validation.jsonl, " \
               f"test: data/test.jsonl}}\nscore: {self.score}\nmodels: {{task: standin/reader}}\n"  # fmt: skip
        files["pipeline.yaml"] = spec + files.get("pipeline.yaml", "")
        for number, split in enumerate(("train", "validation", "test")):
            rows = self.make_rows(random.Random(f"{self.name} {number}"))  # noqa: S311 - makes data, no secrets
            lines = [json.dumps({"id": f"{split}-{at:03d}", **row}) for at, row in enumerate(rows)]
            files[f"data/{split}.jsonl"] = "\n".join(lines[: CASES if split == "train" else 2]) + "\n"
        for name, text in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


SEARCH = """
def words(text):
    return set(re.findall(r"[a-z0-9-]+", text.lower()))


def search(query, k=3):
    wanted = words(query)
    return sorted(LINES, key=lambda line: -len(wanted & words(line)) / (4 + len(words(line))))[:k]
"""
FIRST = "Bral Dorv Kest Lumo Narv Orim Pell Quon Risk Sarn Tolv Umbr Vask Wend Yarl Zint".split()
SECOND = "ando elko iner osta uvik amar edor isko".split()
PEOPLE_FIRST = "Tamsin Ilvar Corla Bodun Merik Sanna Jorv Alda Pavo Linde Rask Vera Ottan Wilma Eskil Nadra".split()
PEOPLE_LAST = "Orle Kvant Brisk Dahlo Fennel Grimsby Holt Jansk Krall Loom Mirov Nast Pruse Quill Rost Storn".split()
TOWNS = "Quillmere Osterby Hallunda Varnhem Brixdal Tornvik Melsted Kaldur Sundby Fjelltown Graneby Lovisa".split()


def _companies(number: int) -> list[tuple[str, str, str]]:
    """Company, founder, town: the same for all splits, as a corpus is."""
    rng = random.Random(7)  # noqa: S311 - makes data, no secrets
    companies = rng.sample([a + b for a in FIRST for b in SECOND], number)
    people = rng.sample([f"{a} {b}" for a in PEOPLE_FIRST for b in PEOPLE_LAST], number)
    return [(company, person, rng.choice(TOWNS)) for company, person in zip(companies, people, strict=True)]


COMPANIES = _companies(80)
_CORPUS = [f"{company} | {company} is a company that was founded by {person}." for company, person, _ in COMPANIES]
_CORPUS += [f"{person} | {person} was born in {town}." for _, person, town in COMPANIES]
random.Random(3).shuffle(_CORPUS)  # noqa: S311 - makes data, no secrets


def _two_hop_rows(rng: random.Random) -> list[Row]:
    return [
        {"inputs": {"company": company, "question": f"Where was the founder of {company} born?"},
         "expected": {"answer": town}, "metadata": {"gold_titles": [company, person]}}
        for company, person, town in rng.sample(COMPANIES, CASES)
    ]  # fmt: skip


TWO_HOP = Family(
    "two_hop",
    "exact_match",
    {
        "resources/corpus.txt": "\n".join(_CORPUS) + "\n",
        "pipeline.py": '''"""Where was the founder born? Two searches, and a model between them."""

import re
from pathlib import Path

from fapo import Prediction

LINES = (Path(__file__).parent / "resources" / "corpus.txt").read_text().splitlines()
'''
        + SEARCH
        + '''

async def run(inputs, ctx):
    first = await ctx.call("retrieve_company", search, inputs["company"] + " company founded")
    founder = await ctx.llm("founder", company=inputs["company"], passages=first)
    second = await ctx.call("retrieve_person", search, founder + " born")
    answer = await ctx.llm("answer", person=founder, passages=second)
    return Prediction(output=answer, evidence=tuple(line.split(" | ")[0] for line in first + second))
''',
        "prompts/founder.md": '''---
model: task
sampling: {temperature: 0.0, max_tokens: 60}
---
System:
Answer the question from the passages, with the shortest span and nothing else.

User:
Passages:
{% for passage in passages %}[{{ loop.index }}] {{ passage }}
{% endfor %}
Question: Who founded the company {{ company }}?
''',
        "prompts/answer.md": '''---
model: task
sampling: {temperature: 0.0, max_tokens: 60}
---
System:
Answer the question from the passages, with the shortest span and nothing else.

User:
Passages:
{% for passage in passages %}[{{ loop.index }}] {{ passage }}
{% endfor %}
Question: Where was {{ person }} born?
''',
    },
    _two_hop_rows,
    (
        Fault("search cut off", "retrieve_company", "structure",
              (("pipeline.py", 'search, inputs["company"] + " company founded")',
                '(lambda q: [x for x in search(q, 9) if q.split()[0] not in x]), inputs["company"] + " company")'),)),
        Fault("half of the index", "retrieve_person", "structure",
              (("pipeline.py", 'search, founder + " born")',
                '(lambda q: [x for x in search(q, 9) if "born" not in x][:3]), founder + " born")'),)),
        Fault("company not named", "founder", "prompt",
              (("prompts/founder.md", "the company {{ company }}?", "the company?{{ company[:0] }}"),
               ("prompts/founder.md", "in passages %}", "in passages | reverse %}"))),
        Fault("passages not handed on", "founder", "structure",
              (("pipeline.py", "passages=first)", "passages=[])"),)),
        Fault("person not named", "answer", "prompt",
              (("prompts/answer.md", "Where was {{ person }} born?", "Where was the person born?{{ person[:0] }}"),
               ("prompts/answer.md", "in passages %}", "in passages | reverse %}"))),
        Fault("reply cut off", "answer", "parameter",
              (("prompts/answer.md", "max_tokens: 60", "max_tokens: 1"),)),
        Fault("passages left out", "answer", "prompt",
              (("prompts/answer.md", "{% for passage in passages %}[{{ loop.index }}] {{ passage }}\n{% endfor %}",
                "{{ passages | length }} passages were found.\n"),)),
    ),
)  # fmt: skip

PRODUCTS = "kettles lamps chairs bicycles drills tents radios pumps heaters ladders".split()
WEATHER = (
    "The weather was mild for the season and the roads were dry.",
    "Visitors spoke of the good coffee and of the view over the harbour.",
    "The band played until late, and nobody wanted to go home.",
    "A photograph of the hall was printed in the local paper.",
)


def _report_rows(rng: random.Random) -> list[Row]:
    rows = []
    for _ in range(CASES):
        person = f"{rng.choice(PEOPLE_FIRST)} {rng.choice(PEOPLE_LAST)}"
        company, product = rng.choice(COMPANIES)[0], rng.choice(PRODUCTS)
        facts = [f"The fair was opened by {person}.", f"The prize for the best {product} went to {company}."]
        filler = rng.sample(WEATHER, 3)
        text = " ".join([filler[0], filler[1], facts[0], filler[2], facts[1]])
        rows.append({"inputs": {"report": text, "question": "Who opened the fair?"}, "expected": {"answer": person}})
    return rows


REPORT = Family(
    "report",
    "exact_match",
    {
        "pipeline.py": '''"""Answers a question about a report from a summary of it."""

from fapo import Prediction


def clean(text):
    return " ".join(text.split())


async def run(inputs, ctx):
    summary = await ctx.llm("summarize", report=inputs["report"])
    tidy = await ctx.call("clean", clean, summary)
    answer = await ctx.llm("answer", summary=tidy, question=inputs["question"])
    return Prediction(output=answer)
''',
        "prompts/summarize.md": '''---
model: task
sampling: {temperature: 0.0, max_tokens: 300}
---
System:
Summarize the report. Keep all facts and names, leave out nothing.

User:
Report: {{ report }}
''',
        "prompts/answer.md": '''---
model: task
sampling: {temperature: 0.0, max_tokens: 60}
---
System:
Answer the question from the text, with the shortest span and nothing else.

User:
Text: {{ summary }}

Question: {{ question }}
''',
    },
    _report_rows,
    (
        Fault("lossy summary", "summarize", "prompt",
              (("prompts/summarize.md", "Summarize the report. Keep all facts and names, leave out nothing.",
                "Summarize the report in one sentence."),)),
        Fault("summary cut off", "summarize", "parameter",
              (("prompts/summarize.md", "max_tokens: 300", "max_tokens: 12"),)),
        Fault("text cut by a helper", "clean", "structure",
              (("pipeline.py", 'return " ".join(text.split())', 'return " ".join(text.split())[:60]'),)),
        Fault("wrong question", "answer", "prompt",
              (("prompts/answer.md", "Question: {{ question }}",
                "Question: {{ question | replace('Who opened the fair', 'Which company won the prize') }}"),)),
        Fault("answer cut off", "answer", "parameter",
              (("prompts/answer.md", "max_tokens: 60", "max_tokens: 1"),)),
    ),
)  # fmt: skip


def _order_rows(rng: random.Random) -> list[Row]:
    rows = []
    for _ in range(CASES):
        fields = {"customer": f"{rng.choice(PEOPLE_FIRST)} {rng.choice(PEOPLE_LAST)}",
                  "order_id": f"K-{rng.randint(1000, 9999)}", "quantity": rng.randint(2, 90),
                  "city": rng.choice(TOWNS)}  # fmt: skip
        text = f"Order {fields['order_id']}\nCustomer: {fields['customer']}\nQuantity: {fields['quantity']}\n" \
               f"City: {fields['city']}"  # fmt: skip
        rows.append({"inputs": {"notice": text}, "expected": fields})
    return rows


ORDERS = Family(
    "orders",
    "json_fields",
    {
        "pipeline.py": '''"""From an order notice to its data: a model writes JSON, functions read and tidy it."""

import json
import re

from fapo import Prediction


def parse(reply):
    match = re.search(r"\\{.*\\}", reply, re.S)
    return json.loads(match.group()) if match else {}


def tidy(order):
    return {key: " ".join(str(value).split()) for key, value in order.items()}


async def run(inputs, ctx):
    reply = await ctx.llm("extract", notice=inputs["notice"])
    order = await ctx.call("parse", parse, reply)
    return Prediction(output=await ctx.call("tidy", tidy, order))
''',
        "prompts/extract.md": '''---
model: task
sampling: {temperature: 0.0, max_tokens: 300}
---
System:
You read order notices and answer with one JSON object and nothing else. It has these fields:

- customer: name of the customer
- order_id: id of the order
- quantity: number of pieces
- city: city that it goes to

User:
Notice: {{ notice }}
''',
    },
    _order_rows,
    (
        Fault("parser drops fields", "parse", "structure",
              (("pipeline.py", "return json.loads(match.group()) if match else {}",
                'return {k: v for k, v in json.loads(match.group()).items() if k in ("customer", "quantity")}'),)),
        Fault("parser cuts values", "parse", "structure",
              (("pipeline.py", "return json.loads(match.group()) if match else {}",
                'return {k: str(v)[:3] for k, v in json.loads(match.group()).items()}'),)),
        Fault("helper drops a field", "tidy", "structure",
              (("pipeline.py", 'for key, value in order.items()}', 'for key, value in order.items() if key < "d"}'),)),
        Fault("fields not asked for", "extract", "prompt",
              (("prompts/extract.md", "- order_id: id of the order\n", ""),
               ("prompts/extract.md", "- city: city that it goes to\n", ""))),
        Fault("reply cut off", "extract", "parameter",
              (("prompts/extract.md", "max_tokens: 300", "max_tokens: 12"),)),
    ),
)  # fmt: skip

MATERIALS = "brass steel oak rubber glass copper linen ceramic".split()
OBJECTS = "hinge valve gasket bracket handle washer funnel hook".split()
_PARTS = [(f"P-{100 + 7 * number}", material, thing)
          for number, (material, thing) in enumerate((m, o) for m in MATERIALS for o in OBJECTS)]  # fmt: skip


def _part_rows(rng: random.Random) -> list[Row]:
    wishes = ("A customer asks for a {o} that is made of {m}.", "Please send one {o}, it has to be {m}.",
              "We are out of the {m} ones: which {o} is it?")  # fmt: skip
    return [
        {"inputs": {"request": rng.choice(wishes).format(o=thing, m=material)}, "expected": {"part": code}}
        for code, material, thing in rng.sample(_PARTS, CASES)
    ]


PARTS = Family(
    "parts",
    "exact_match",
    {
        "pipeline.yaml": "closed_labels: true\n",
        "resources/parts.txt": "\n".join(f"{code}: {material} {thing}" for code, material, thing in _PARTS) + "\n",
        "pipeline.py": '''"""Which part is asked for? Candidates from the catalogue, then a choice."""

import re
from pathlib import Path

from fapo import Prediction

LINES = (Path(__file__).parent / "resources" / "parts.txt").read_text().splitlines()
'''
        + SEARCH
        + '''

def code_of(reply):
    match = re.search(r"P-\\d+", reply)
    return match.group() if match else reply


async def run(inputs, ctx):
    candidates = await ctx.call("retrieve", search, inputs["request"], k=6)
    reply = await ctx.llm("choose", request=inputs["request"], candidates=candidates)
    return Prediction(output=await ctx.call("code_of", code_of, reply))
''',
        "prompts/choose.md": '''---
model: task
sampling: {temperature: 0.0, max_tokens: 60}
---
System:
Choose the part that the request asks for. Compare all parts in the list; answer with its code and nothing else.

Parts:
{% for candidate in candidates %}- {{ candidate }}
{% endfor %}

User:
Request: {{ request }}
''',
    },
    _part_rows,
    (
        Fault("the best are dropped", "retrieve", "structure",
              (("pipeline.py", "[:k]\n", "[k : 2 * k]\n"),)),
        Fault("a third of the catalogue", "retrieve", "structure",
              (("pipeline.py", "sorted(LINES, ", "sorted(LINES[:20], "),)),
        Fault("wrong task", "choose", "prompt",
              (("prompts/choose.md", "Choose the part that the request asks for. Compare all parts in the list; answer "
                "with its code and nothing else.", "Summarize the request in one sentence. Do not answer it."),
               ("prompts/choose.md", "Parts:\n{% for candidate in candidates %}- {{ candidate }}\n{% endfor %}\n",
                "There are {{ candidates | length }} parts.\n"))),
        Fault("wrong code", "code_of", "structure",
              (("pipeline.py", 'r"P-\\d+"', 'r"P-\\d"'),)),
        Fault("reply cut off", "choose", "parameter",
              (("prompts/choose.md", "max_tokens: 60", "max_tokens: 1"),)),
    ),
)  # fmt: skip

FAMILIES = (TWO_HOP, REPORT, ORDERS, PARTS)
