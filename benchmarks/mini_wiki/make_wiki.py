"""Makes the mini-wiki, and the questions and claims over it, with a seed. Run it again: the same files.

It writes corpus/abstracts.jsonl, and the splits of the benchmarks hotpotqa
and hover. Everything is invented: world.py has who and what there is, prose.py the sentences, relations.py and
questions.py the questions and claims.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prose import write_abstracts
from questions import SPLITS, make_claims, make_questions
from world import World

HERE = Path(__file__).parent
SEED = 20261124


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")


def main() -> None:
    world = World(random.Random(SEED))
    write_abstracts(world)
    abstracts = [{"title": entity.title, "text": entity.text} for entity in world.entities]
    world.rng.shuffle(abstracts)
    write_rows(HERE / "corpus" / "abstracts.jsonl", abstracts)
    for benchmark, cases in (("hotpotqa", make_questions(world)), ("hover", make_claims(world))):
        for split in SPLITS:
            write_rows(HERE.parent / benchmark / "data" / f"{split}.jsonl", cases[split])


if __name__ == "__main__":
    main()
