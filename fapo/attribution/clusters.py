"""Failing cases that are alike, with a few of each to look at."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from fapo.attribution.blame import Blame, Cluster
from fapo.attribution.gold import predicted_text, read_gold
from fapo.attribution.view import CaseView

MOST_CLUSTERS = 12
REPRESENTATIVES = 3
LEAST_CONFUSED = 2
"""Cases that must share a confusion before it is a cluster of its own."""
_COMPARED = 60
"""Cases of a cluster among which representatives are looked for: a bound on the time."""
_SHORT = 6
"""Tokens. What is longer is no label that could be confused with another."""
_QUOTED = re.compile(r"“[^”]*”")
_NAME_OR_NUMBER = re.compile(r"`[^`]*`|\d+")
_CONFUSABLE = frozenset({"reasoning", "format", "unidentified"})

_Key = tuple[str | None, str, str]


def find_clusters(blames: Sequence[Blame], views: Mapping[str, CaseView]) -> tuple[Cluster, ...]:
    """The clusters of failing cases by their share of the lost score, the largest first, at most MOST_CLUSTERS.

    `views` holds the failing cases by id. A case with several wrong fields may be in several clusters.
    """
    confusions = {case: found for case, view in views.items() if (found := confusion(view)) is not None}
    common = {found for found, cases in Counter(confusions.values()).items() if cases >= LEAST_CONFUSED}
    groups: defaultdict[_Key, list[Blame]] = defaultdict(list)
    for blame in blames:
        confused = confusions.get(blame.case_id) if blame.category in _CONFUSABLE else None
        what = confused if confused in common and confused is not None else _template(blame.evidence)
        groups[blame.step, blame.category, what].append(blame)
    total = sum(blame.loss for blame in blames) or 1.0
    words = {case: frozenset(view.question.split()) for case, view in views.items()}
    ranked = sorted(groups.items(), key=lambda item: (-sum(blame.loss for blame in item[1]), str(item[0])))
    return tuple(
        Cluster(step, own[0].category, what, len(cases), sum(blame.loss for blame in own) / total,
                representatives(cases, words))
        for (step, _, what), own in ranked[:MOST_CLUSTERS]
        if (cases := list(dict.fromkeys(blame.case_id for blame in own)))
    )  # fmt: skip


def confusion(view: CaseView) -> str | None:
    """What was expected and what came instead, where both are one short text each."""
    gold = read_gold(view)
    if len(gold.fields) != 1 or not gold.fields[0].forms:
        return None
    expected, predicted = gold.fields[0].forms[0].strip(), predicted_text(view, gold.fields[0]).strip()
    if not predicted or expected == predicted or max(len(expected.split()), len(predicted.split())) > _SHORT:
        return None
    return f"{expected} → {predicted}"


def _template(evidence: str) -> str:
    """The evidence without the values and numbers in which cases of one kind differ; names of steps stay."""
    bare = _QUOTED.sub("“…”", evidence.rpartition("replayed cases like it: ")[2])
    return _NAME_OR_NUMBER.sub(lambda found: found.group() if found.group().startswith("`") else "#", bare)


def representatives(cases: Sequence[str], words: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The case that is most like the others by the words of its inputs, then those least like the ones chosen."""
    left = list(cases[:_COMPARED])
    first = max(left, key=lambda case: sum(_alike(words, case, other) for other in left))
    chosen = [first]
    left.remove(first)
    while left and len(chosen) < REPRESENTATIVES:
        farthest = min(left, key=lambda case: max(_alike(words, case, other) for other in chosen))
        chosen.append(farthest)
        left.remove(farthest)
    return tuple(chosen)


def _alike(words: Mapping[str, frozenset[str]], one: str, other: str) -> float:
    mine, theirs = words.get(one, frozenset()), words.get(other, frozenset())
    return len(mine & theirs) / max(len(mine | theirs), 1)


def views_by_case(views: Iterable[CaseView]) -> dict[str, CaseView]:
    """The first view of each case."""
    found: dict[str, CaseView] = {}
    for view in views:
        found.setdefault(view.record.case_id, view)
    return found
