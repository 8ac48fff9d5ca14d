"""IFBench: the requests that are their own instruction."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from itertools import pairwise

from .registry import verifies
from .text import EDGES, bare, sentences

_CAPITALS = (
    "Reykjavik Helsinki Oslo Tallinn Stockholm Riga Moscow Copenhagen Vilnius Minsk Dublin Berlin Amsterdam "
    "Warsaw London Brussels Prague Luxembourg Paris Vienna Bratislava Budapest Vaduz Chisinau Bern Ljubljana "
    "Zagreb"
).split()
_AFRICAN_COUNTRIES = 52
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@verifies("custom:multiples", "the numbers are not the ones that were asked for, in order and alone")
def multiples(reply: str) -> bool:
    return re.findall(r"\d+", reply) == [str(n) for n in range(14, 51, 7)]


@verifies("custom:mcq_count_length", "the questions are not as many, as labelled, with as many options or as growing")
def mcq_count_length(reply: str) -> bool:
    if not reply.startswith("Question"):
        return False
    parts = [part.strip() for part in re.split(r"\n*Question \d+[.|):;]?\s*", reply) if part.strip()]
    lengths = []
    for part in parts:
        lines = [line.strip() for line in part.split("\n")]
        options = [place for place, line in enumerate(lines) if re.match(r"[A-Ea-e][.|)]\s*\w+", line)]
        if len(options) != 5:
            return False
        lengths.append(len(" ".join(lines[: options[0]]).strip()))
    return len(lengths) == 4 and all(one < other for one, other in pairwise(lengths))


@verifies("custom:reverse_newline", "the list is not whole, or not in reverse order, a line each")
def reverse_newline(reply: str) -> bool:
    lines = [text for line in reply.split("\n") if (text := line.strip(EDGES))]
    start = next((place for place, line in enumerate(lines) if "Zimbabwe" in line), None)
    if start is None or len(lines) - start < _AFRICAN_COUNTRIES:
        return False
    plain = [_ascii(line) for line in lines[start:]]
    return plain == sorted(plain, reverse=True)


@verifies("custom:word_reverse", "the sentence is not right in reverse order of its words")
def word_reverse(reply: str) -> bool:
    turned = " ".join(reversed(bare(reply.lower()).split()))
    return "bald eagle" in turned and turned in sentences(turned)


@verifies("custom:character_reverse", "the sentence is not right in reverse order of its letters")
def character_reverse(reply: str) -> bool:
    return "elgae dlab" in reply.lower()


@verifies("custom:sentence_alphabet", "the sentences do not run through the alphabet")
def sentence_alphabet(reply: str) -> bool:
    return [sentence[:1].lower() for sentence in sentences(reply)] == list("abcdefghijklmnopqrstuvwxyz")


@verifies("custom:european_capitals_sort", "the list is not the right one in the right order")
def european_capitals_sort(reply: str) -> bool:
    return [city.strip() for city in _ascii(reply).split(",") if city.strip()] == _CAPITALS


@verifies("custom:csv_city", "this is not the table that was asked for, as CSV")
def csv_city(reply: str) -> bool:
    rows = list(csv.reader(io.StringIO(reply)))
    return (
        len(rows) == 8 and rows[0] == ["ID", "Country", "City", "Year", "Count"] and {len(row) for row in rows} == {5}
    )


@verifies("custom:csv_special_character", "this is not the table that was asked for, with a character in quotes")
def csv_special_character(reply: str) -> bool:
    if not _has_header(reply, r",[ \t]*", ("ProductID", "Category", "Brand", "Price", "Stock")):
        return False
    rows = list(csv.reader(io.StringIO(reply.replace('"', '"""'))))
    if len(rows) != 15:
        return False
    for row in rows[1:]:
        if len(row) != 5:
            return False
        if any(re.match(r'".*[^\d\w\s].*"', cell) for cell in row):
            return True
    return False


@verifies("custom:csv_quotes", "this is not the table that was asked for, each field in quotes")
def csv_quotes(reply: str) -> bool:
    if not _has_header(reply, r"\t *", ("StudentID", "Subject", "Grade", "Semester", "Score")):
        return False
    rows = list(csv.reader(io.StringIO(reply.replace('"', '"""')), delimiter="\t"))
    cells = [cell.strip() for row in rows for cell in row]
    return len(rows) == 4 and {len(row) for row in rows} == {5} and all(c[:1] == c[-1:] == '"' for c in cells)


@verifies("custom:date_format_list", "this is not a list of dates in the format that was asked for")
def date_format_list(reply: str) -> bool:
    for text in reply.split(","):
        date = re.fullmatch(r"(\d{4})-(\d{2})-(\d{2})", text.strip())
        if date is None:
            return False
        year, month, day = map(int, date.groups())
        if not 1769 <= year <= 1821 or month > 12 or (month and day > _DAYS[month - 1]):
            return False
    return True


def _has_header(reply: str, gap: str, names: tuple[str, ...]) -> bool:
    cells = gap.join(f'(?:{name}|"{name}")' for name in names)
    return re.fullmatch(cells, reply.split("\n")[0].strip()) is not None


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
