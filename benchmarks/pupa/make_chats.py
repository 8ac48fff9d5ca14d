"""Makes the sample, with a seed: PUPA-shaped rows about people who do not exist. Run it again: the same files.

Nobody is in two splits. A third of the people ask a second time, in the same conversation.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from letters import LETTERS, Letter
from prepare import case

HERE = Path(__file__).parent
SEED = 20261128
SPLITS = ("train", "validation", "test")
PER_SPLIT = 60

FIRST = (
    "Orsolya Bram Tindra Casimir Yevka Lorcan Odalys Perrin Marit Jovan Thessaly Anselm Ilse Rafferty Noemi Corvin "
    "Wilhelmina Dragan Sunniva Bartel Elowen Matthis Zdenka Fergal Amarante Gideon Ottoline Ruben Velda Hamish"
).split()
LAST = (
    "Thackham Feldott Quillington Marsbury Ostrander Vellacott Brindlow Haskeram Tovelund Penniford Carraweth Dunmollin "
    "Eskerby Fallowhurst Grimsdotter Hollanby Ivermoor Jarrowsk Kettlesmere Lindqvale Morranfield Nethersole Oxendyke"
).split()
TOWNS = "Marrowby Stenholt Quillhaven Dunscarth Brackenlow Tolvern Aldershaw Vessingen Orrinmouth Calderwick".split()
STREETS = ("Quillgate Lane", "Tannery Row", "Upper Mill Road", "Saltmarket Street", "Heron Walk", "Old Brewhouse Yard")
FIRMS = ("Feldmark Logistics", "Brindle & Osk", "Carraway Instruments", "Norholt Shipping", "Vantreight Foods")
SECRETS = (
    "a kidney transplant", "gambling debts", "an adopted son", "early hearing loss", "a suspended licence",
    "panic attacks", "a broken engagement", "unpaid child support", "a miscarriage", "chronic migraine",
)  # fmt: skip
MONTHS = "January February March April May June July August September October November December".split()


def people(rng: random.Random) -> Iterator[dict[str, str]]:
    """Facts about one person after another, no name twice; what a letter needs of them is in it."""
    names = [f"{first} {last}" for first in FIRST for last in LAST]
    rng.shuffle(names)
    for name, other in zip(names[::2], names[1::2], strict=False):
        town, user = rng.choice(TOWNS), name.lower().replace(" ", rng.choice("._"))
        yield {
            "name": name,
            "other": other,
            "town": town,
            "address": f"{rng.randint(2, 180)} {rng.choice(STREETS)}",
            "firm": rng.choice(FIRMS),
            "date": f"{rng.randint(1, 28)} {rng.choice(MONTHS)} {rng.randint(2021, 2025)}",
            "amount": f"${rng.randint(12, 95) * 100:,}",
            "number": f"{rng.choice('ABKTR')}{rng.randint(100000, 999999)}",
            "mail": f"{user}@{rng.choice(('post', 'mail', 'letters'))}.example",
            "phone": f"555-0{rng.randint(100, 199)}",
            "secret": rng.choice(SECRETS),
        }


def row(letter: Letter, facts: Mapping[str, str], conversation: str) -> dict[str, Any]:
    """As in PUPA's file: pieces joined by `||`, one of them empty or repeated now and then."""
    units = [facts[name] for name in letter.private]
    return {
        "conversation_hash": conversation,
        "predicted_category": letter.category,
        "user_query": letter.query.format(**facts),
        "target_response": letter.reply.format(**facts),
        "pii_units": "||".join([*letter.spoiled, *units]),
    }


def rows(rng: random.Random) -> Iterator[Sequence[dict[str, Any]]]:
    """The rows of one split after the other."""
    crowd = people(rng)
    for _ in SPLITS:
        found: list[dict[str, Any]] = []
        while len(found) < PER_SPLIT:
            facts, conversation = next(crowd), f"{rng.getrandbits(128):032x}"
            asked = rng.sample(LETTERS, 2 if rng.random() < 1 / 3 else 1)
            found.extend(row(letter, facts, conversation) for letter in asked)
        yield found[:PER_SPLIT]


def main() -> None:
    number = 0
    for split, found in zip(SPLITS, rows(random.Random(SEED)), strict=True):
        cases = [case(number + place, each) for place, each in enumerate(found)]
        number += len(found)
        lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in cases)
        (HERE / "data" / f"{split}.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
