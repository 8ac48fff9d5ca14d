"""The Python that structural edits put into a pipeline, as `string.Template`s."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loader:
    """How to read one kind of data file into lines of text. `body` ends with a `return` of a list of texts."""

    body: str
    imports: tuple[str, ...] = ()


def _table(reader: str) -> Loader:
    body = f"""\
    with path.open(encoding="utf-8", newline="") as file:
        rows = [[cell for cell in row if cell] for row in csv.reader(file, {reader})]
    return [": ".join([row[0], " | ".join(row[1:])]).removesuffix(": ") for row in rows[$skip:] if row]
"""
    return Loader(body, ("import csv",))


_JSON_LINES = """\
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\\n") if line.strip()]
    return [" | ".join(str(value) for value in (row.values() if isinstance(row, dict) else [row])) for row in rows]
"""

_JSON = """\
    entries = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(entries, dict):
        return [f"{key}: {value}" for key, value in entries.items()]
    return [" | ".join(str(value) for value in (row.values() if isinstance(row, dict) else [row])) for row in entries]
"""

_LINES = """\
    return [line.strip() for line in path.read_text(encoding="utf-8").split("\\n") if line.strip()]
"""

LOADERS = {
    ".tsv": _table('delimiter="\\t", quoting=csv.QUOTE_NONE'),
    ".csv": _table("skipinitialspace=True"),
    ".jsonl": Loader(_JSON_LINES, ("import json",)),
    ".json": Loader(_JSON, ("import json",)),
    ".txt": Loader(_LINES),
    ".md": Loader(_LINES),
}
"""By the suffix of the data file."""

SEARCH_IMPORTS = ("from pathlib import Path", "from typing import Any", "import bm25s", "import Stemmer")

SEARCH = '''\
def $lines() -> list[str]:
    """One line for each entry of $path."""
    path = Path(__file__).parent.joinpath($parts)
$body


def $tokens(texts: list[str]) -> Any:
    """The stemmed words of each text, without stop words."""
    return bm25s.tokenize(texts, stopwords="en", stemmer=STEMMER_$NAME, show_progress=False)


STEMMER_$NAME = Stemmer.Stemmer("english")
$NAME = $lines()
INDEX_OF_$NAME = bm25s.BM25()
INDEX_OF_$NAME.index($tokens($NAME), show_progress=False)


def $function(query: str, k: int) -> list[str]:
    """Up to k entries that share words with the query, best match first."""
    best, scores = INDEX_OF_$NAME.retrieve($tokens([query]), k=min(k, len($NAME)), show_progress=False)
    return [$NAME[place] for place, score in zip(best[0], scores[0], strict=True) if score > 0]
'''

CANDIDATES_BLOCK = """\
Candidates (options to consider as well, best match first):
{% for c in candidates %}- {{ c }}
{% endfor %}"""

CANDIDATES_INSTRUCTION = (
    "The user message lists candidates that a search found. Consider each candidate as an option, weigh its words "
    "against the input, and choose the one that fits best; the order of the list is only a hint."
)

PARSER = '''\
def $name(reply: object, *args: object, **kwargs: object) -> object:
    """The first JSON object or array in the reply, wherever it stands; where there is none, what `$old` reads."""
    text = str(reply)
    for start in re.finditer(r"[{\\[]", text):
        try:
            return json.JSONDecoder().raw_decode(text, start.start())[0]
        except json.JSONDecodeError:
            continue
    return $old(reply, *args, **kwargs)
'''

HOP = '''\
def $query(query: object, found: object) -> str:
    """The query and the text of its first two results: names in there lead on."""
    first = found[:2] if isinstance(found, (list, tuple)) else [found]
    texts = (" ".join(map(str, item.values())) if isinstance(item, dict) else str(item) for item in first)
    return " ".join([str(query), *texts])


def $unite(first: object, second: object) -> object:
    """The results of two searches in their order, each once."""
    if not isinstance(first, (list, tuple)) or not isinstance(second, (list, tuple)):
        return first
    return [*first, *(item for item in second if item not in first)]
'''

VOTE = '''\
def $name(replies: list[object]) -> object:
    """The most frequent reply; of equally frequent ones the first."""
    keys = [json.dumps(reply, sort_keys=True, default=str).strip('" ').casefold() for reply in replies]
    return replies[keys.index(Counter(keys).most_common(1)[0][0])]
'''
