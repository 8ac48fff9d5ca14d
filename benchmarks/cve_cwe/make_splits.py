"""Divides the source rows into train, validation and test of about 300 cases each. Run it again: the same files.

Cases of one assigner, and cases whose descriptions nearly repeat each other, lie in one split only: an assigner writes
its descriptions by a template, which a model could learn. Two texts are near when nearly all words of the shorter one
stand in the longer one (token_set_ratio), since assigners that share a template, as those for Android do, fill it with
different names. So that no assigner fills a split, each gives at most MOST_OF_AN_ASSIGNER cases, drawn with a seed.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from pathlib import Path

from rapidfuzz import fuzz, process

HERE = Path(__file__).parent
SEED = 20261123
SIZE = 300
MOST_OF_AN_ASSIGNER = 13
NEAR_DUPLICATE = 85
SPLITS = ("train", "validation", "test")

Row = dict[str, dict[str, str]]


def read_source() -> list[Row]:
    lines = (HERE / "source" / "cve_cwe.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def thin(rows: list[Row], rng: random.Random, most: int = MOST_OF_AN_ASSIGNER) -> list[Row]:
    """At most `most` rows of each assigner."""
    by_assigner: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_assigner[row["metadata"]["assigner"]].append(row)
    return [row for _, own in sorted(by_assigner.items()) for row in rng.sample(own, min(len(own), most))]


def group(rows: list[Row]) -> list[list[Row]]:
    """Rows that share an assigner or nearly a description, transitively (union-find)."""
    parent = list(range(len(rows)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first_of: dict[str, int] = {}
    for i, row in enumerate(rows):
        parent[root(i)] = root(first_of.setdefault(row["metadata"]["assigner"], i))
    texts = [row["inputs"]["description"].casefold() for row in rows]
    likeness = process.cdist(texts, texts, scorer=fuzz.token_set_ratio, score_cutoff=NEAR_DUPLICATE, workers=-1)
    for i, j in zip(*likeness.nonzero(), strict=True):
        parent[root(int(i))] = root(int(j))
    groups: dict[int, list[Row]] = defaultdict(list)
    for i, row in enumerate(rows):
        groups[root(i)].append(row)
    return list(groups.values())


def divide(groups: list[list[Row]], rng: random.Random, size: int = SIZE) -> dict[str, list[Row]]:
    """Whole groups to splits, the largest first, each to where its labels are rarest and room is left."""
    rng.shuffle(groups)
    groups.sort(key=len, reverse=True)
    splits: dict[str, list[Row]] = {name: [] for name in SPLITS}
    labels: dict[str, Counter[str]] = {name: Counter() for name in SPLITS}
    for rows in groups:
        own = [row["expected"]["cwe"] for row in rows]

        def load(name: str, own: list[str] = own) -> tuple[float, int]:
            return sum(labels[name][label] for label in own) / len(own) + len(splits[name]) / 20, len(splits[name])

        open_splits = [name for name in SPLITS if len(splits[name]) + len(rows) <= size]
        if open_splits:
            best = min(open_splits, key=load)
            splits[best] += rows
            labels[best].update(own)
    return splits


def main() -> None:
    rng = random.Random(SEED)
    splits = divide(group(thin(read_source(), rng)), rng)
    for name, rows in splits.items():
        rng.shuffle(rows)
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        target = HERE / "data" / f"{name}.jsonl"
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(f"{name}: {len(rows)} cases, {len({row['metadata']['assigner'] for row in rows})} assigners")


if __name__ == "__main__":
    main()
