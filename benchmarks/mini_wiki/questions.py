"""Two-hop questions and three-hop claims over the invented world, divided into splits that share no chain."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from prose import upper
from relations import ASK, CLAUSE, FIRST, SAME, SAY, SHARED, VIA
from world import COUNTRIES, Entity, World

SPLITS = ("train", "validation", "test")
SIZE = 60
COMPARISONS = 12
SHARED_SHARE, FIRST_SHARE = 4, 4
JOINED = 18
MOST_USES = 5
PLAIN_SHARE = 0.25
Case = dict[str, Any]
Hop = tuple[Entity, str, Entity]


def holds(text: str, value: str) -> bool:
    """Whether a value stands in a text, at the bounds of words."""
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE) is not None


def value_of(entity: Entity, name: str) -> str | None:
    """A fact as a text, or the title of what a link leads to."""
    return entity.links[name].title if name in entity.links else entity.facts.get(name)


def said_of(entity: Entity, name: str) -> str:
    return entity.links[name].said if name in entity.links else entity.facts[name]


def about(entity: Entity) -> str:
    return " ".join(entity.text)


def kinds(table: dict[tuple[str, str], Sequence[str]], entity: Entity) -> list[str]:
    """The facts and links of an entity that a table has words for."""
    return [name for kind, name in table if kind == entity.kind and value_of(entity, name) is not None]


@dataclass
class Taken:
    """What belongs to a split already: pairs of titles, and answers with the title of the abstract that holds them."""

    split_of: dict[tuple[str, str], str] = field(default_factory=dict)

    def claim(self, split: str, keys: Sequence[tuple[str, str]]) -> bool:
        """Take the keys for a split; False, and nothing taken, where another split has one of them."""
        if any(self.split_of.get(key, split) != split for key in keys):
            return False
        self.split_of |= dict.fromkeys(keys, split)
        return True


def pair(one: Entity, other: Entity) -> tuple[str, str]:
    first, second = sorted((one.title, other.title))
    return first, second


def varied(links: Sequence[Hop]) -> Iterator[Hop]:
    """The links in rounds, in each of which every kind of link comes once while there are any."""
    queues: dict[tuple[str, str], list[Hop]] = {}
    for hop in links:
        queues.setdefault((hop[0].kind, hop[1]), []).append(hop)
    for turn in itertools.zip_longest(*queues.values()):
        yield from (hop for hop in turn if hop is not None)


def hops(world: World) -> list[Hop]:
    """Every link that questions can follow, one for each pair of entities, in a random order."""
    found = {
        pair(entity, other): (entity, name, other)
        for entity in world.entities
        for name, other in entity.links.items()
        if (entity.kind, name) in VIA
    }
    return world.rng.sample(list(found.values()), len(found))


# -- questions


def make_questions(world: World) -> dict[str, list[Case]]:
    """SIZE cases for each split. No pair of titles occurs twice, no answer from the same abstract in two splits."""
    taken, rng = Taken(), world.rng
    bridges, comparisons = _bridges(world, varied(hops(world))), _comparisons(world)
    cases: dict[str, list[Case]] = {split: [] for split in SPLITS}
    for want, source in ((SIZE - COMPARISONS, bridges), (COMPARISONS, comparisons)):
        more = dict.fromkeys(SPLITS, want)
        for case, keys in source:
            split = max(more, key=lambda name: more[name])
            if more[split] and taken.claim(split, keys):
                cases[split].append(case)
                more[split] -= 1
        if any(more.values()):
            raise ValueError(f"not enough questions: {more}")
    for split in SPLITS:
        rng.shuffle(cases[split])
        for at, case in enumerate(cases[split]):
            case["id"] = f"hotpotqa-{split}-{at:02d}"
    return cases


def _bridges(world: World, links: Iterable[Hop]) -> Iterator[tuple[Case, list[tuple[str, str]]]]:
    """Questions that name one entity and ask for something of another one, which it leads to."""
    rng, uses = world.rng, dict[tuple[str, str], int]()
    for first, link, second in links:
        names = [name for name in kinds(ASK, second) if second.links.get(name) is not first]
        names = [name for name in names if not holds(about(first), value_of(second, name) or "")]
        if not names:
            continue
        name = min(rng.sample(names, len(names)), key=lambda each: uses.get((second.kind, each), 0))
        uses[second.kind, name] = uses.get((second.kind, name), 0) + 1
        phrase = _described(rng.choice(VIA[first.kind, link]).format(first.said), second, rng)
        question, answer = rng.choice(ASK[second.kind, name]).format(phrase), value_of(second, name) or ""
        if not holds(question, answer) and holds(about(second), answer):
            keys = [pair(first, second), (second.title, answer)]
            yield _question(question, answer, "bridge", first, second), keys


def _described(phrase: str, entity: Entity, rng: random.Random) -> str:
    """The phrase for an entity with a detail that stands in its own abstract, in most cases."""
    if rng.random() < PLAIN_SHARE:
        return phrase
    if entity.kind == "person":
        nationality = COUNTRIES[entity.links["town"].facts["country"]]
        phrase = phrase.replace("the person who", f"the {entity.facts['job']} who", 1)
        return phrase.replace("the ", f"the {nationality} ", 1)
    if entity.kind == "town":
        return phrase.replace("the town ", f"the town on {entity.links['river'].said} ", 1)
    return phrase


def _comparisons(world: World) -> Iterator[tuple[Case, list[tuple[str, str]]]]:
    """Questions that name two entities of a kind and need both abstracts, in turn of three sorts."""
    rng = world.rng
    sorts = [list(_of_sort(rng, world, sort)) for sort in ("shared", "first", "same")]
    order = [0] * SHARED_SHARE + [1] * FIRST_SHARE + [2] * (COMPARISONS - SHARED_SHARE - FIRST_SHARE)
    for place in itertools.cycle(rng.sample(order, len(order))):
        if not all(sorts):
            return
        yield sorts[place].pop()


def _of_sort(rng: random.Random, world: World, sort: str) -> Iterator[tuple[Case, list[tuple[str, str]]]]:
    table = {"shared": SHARED, "first": FIRST, "same": SAME}[sort]
    for _ in range(1500):
        kind, name = rng.choice(list(table))
        entities = [entity for entity in world.all(kind) if value_of(entity, name)]
        one, other = rng.sample(entities, 2)
        if one.said == other.said or (
            sort == "same" and rng.random() < 0.5 and value_of(one, name) != value_of(other, name)
        ):
            continue
        agree = value_of(one, name) == value_of(other, name)
        question = rng.choice(table[kind, name]).format(one.said, other.said)
        if sort == "same":
            yield _question(question, "yes" if agree else "no", "comparison", one, other), [pair(one, other)]
            continue
        if agree != (sort == "shared") or (sort == "first" and one.year == other.year):
            continue
        source = min(one, other, key=lambda entity: entity.year) if sort == "first" else one
        answer = value_of(source, name) or ""
        if not holds(question, answer):
            holders = [entity.title for entity in (one, other) if holds(about(entity), answer)]
            keys = [pair(one, other), *((title, answer) for title in holders)]
            yield _question(question, answer, "comparison", one, other), keys


def _question(question: str, answer: str, sort: str, *gold: Entity) -> Case:
    titles = [entity.title for entity in gold]
    return {"id": "", "inputs": {"question": upper(question)}, "expected": answer,
            "metadata": {"type": sort, "titles": titles}}  # fmt: skip


# -- claims


def make_claims(world: World) -> dict[str, list[Case]]:
    """SIZE cases for each split. A link that a claim of one split follows is followed by none of another."""
    rng, links = world.rng, hops(world)
    cases: dict[str, list[Case]] = {}
    for at, split in enumerate(SPLITS):
        own = links[at :: len(SPLITS)]
        after: dict[str, list[Hop]] = {}
        for hop in own:
            after.setdefault(hop[0].title, []).append(hop)
        chains = [(one, two) for one in own for two in after.get(one[2].title, ())]
        joints = [(one, two) for one, two in itertools.permutations(own, 2) if one[2] is two[2]]
        seen, uses = set[frozenset[str]](), dict[str, int]()
        found = _take(_joined(rng, world, joints, after), JOINED, seen, uses)
        found += _take(_chains(rng, world, chains), SIZE - JOINED, seen, uses)
        if len(found) < SIZE:
            raise ValueError(f"not enough claims for {split}: {len(found)}")
        rng.shuffle(found)
        for number, case in enumerate(found):
            case["id"] = f"hover-{split}-{number:02d}"
        cases[split] = found
    return cases


def _take(source: Iterator[Case], count: int, seen: set[frozenset[str]], uses: dict[str, int]) -> list[Case]:
    """The first cases with titles that no other one has, each title in MOST_USES of them only.

    What is taken is noted in `seen` and `uses`.
    """
    found: list[Case] = []
    for case in source:
        titles = frozenset(case["expected"]["titles"])
        if len(found) < count and titles not in seen and all(uses.get(title, 0) < MOST_USES for title in titles):
            seen.add(titles)
            uses |= {title: uses.get(title, 0) + 1 for title in titles}
            found.append(case)
    return found


def _chains(rng: random.Random, world: World, chains: Sequence[tuple[Hop, Hop]]) -> Iterator[Case]:
    """Claims that name one entity and say something of one that is two links away."""
    for (first, link, second), (_, onward, third) in rng.sample(chains, len(chains)):
        names = [name for name in kinds(SAY, third) if third.links.get(name) not in (first, second)]
        if third is first or not names or holds(about(first), third.title):
            continue
        name = rng.choice(names)
        supported = rng.random() < 0.55
        value = said_of(third if supported else _other(rng, world, third, name), name)
        fact = rng.choice(SAY[third.kind, name]).format(value)
        person = rng.choice(VIA[first.kind, link]).format(first.said)
        clauses = CLAUSE.get((second.kind, onward))
        if clauses and rng.random() < 0.6:
            claim = f"{person} {rng.choice(clauses)} {fact}."
        else:
            claim = f"{rng.choice(VIA[second.kind, onward]).format(person)} {fact}."
        yield _claim(claim, supported, first, second, third)


def _other(rng: random.Random, world: World, entity: Entity, name: str) -> Entity:
    """Another entity of the kind, of which something else is true."""
    value = value_of(entity, name)
    return rng.choice([each for each in world.all(entity.kind) if value_of(each, name) not in (None, value)])


def _joined(
    rng: random.Random, world: World, joints: Sequence[tuple[Hop, Hop]], after: dict[str, list[Hop]]
) -> Iterator[Case]:
    """Claims that name two entities: what one leads to in two links is what the other leads to in one."""
    leading: dict[str, list[Hop]] = {}
    for hop in itertools.chain.from_iterable(after.values()):
        leading.setdefault(hop[2].title, []).append(hop)
    for (middle, link, goal), (other, across, _) in rng.sample(joints, len(joints)):
        before = [hop for hop in leading.get(middle.title, ()) if hop[0] not in (other, goal)]
        if not before or goal.kind not in ("town", "school", "prize", "person"):
            continue
        first, way, _ = rng.choice(before)
        supported = rng.random() < 0.55
        named = other
        if not supported:
            wrong = [hop for hop in itertools.chain.from_iterable(after.values()) if hop[1] == across
                     and hop[0].kind == other.kind and hop[2] is not goal and hop[0] is not first]  # fmt: skip
            if not wrong:
                continue
            named = rng.choice(wrong)[0]
        if named in (first, middle) or holds(about(first), named.title):
            continue
        there = rng.choice(VIA[middle.kind, link]).format(rng.choice(VIA[first.kind, way]).format(first.said))
        claim = f"{there} is also {rng.choice(VIA[named.kind, across]).format(named.said)}."
        yield _claim(claim, supported, first, middle, named)


def _claim(claim: str, supported: bool, *gold: Entity) -> Case:
    label = "SUPPORTED" if supported else "NOT_SUPPORTED"
    return {"id": "", "inputs": {"claim": upper(claim)}, "expected": {"titles": [entity.title for entity in gold]},
            "metadata": {"label": label, "hops": len(gold)}}  # fmt: skip
