"""Makes the case files of the two control pipelines, with a seed. Run it again: the same files."""

from __future__ import annotations

import json
import random
from pathlib import Path

HERE = Path(__file__).parent
SEED = 11
SIZE = 80
SPLITS = ("train", "validation", "test")

TEAMS = {
    "billing": ("invoice", "refund", "payment", "charged", "receipt"),
    "shipping": ("parcel", "delivery", "courier", "tracking", "shipment"),
    "accounts": ("password", "login", "email address", "profile", "username"),
    "repairs": ("broken", "warranty", "spare part", "repair", "defect"),
    "sales": ("quote", "discount", "bulk order", "catalogue", "price list"),
}
OPENINGS = ("Hello,", "Hi there,", "Good morning,", "Dear team,", "To whom it may concern,")
BODIES = (
    "I have a question about the {a}. Could you look into the {b} as well?",
    "my {a} is not right and nobody answered about the {b}.",
    "please tell me what happened with the {a}; the {b} was mentioned on the phone.",
    "who can help me with a {a}? It also concerns the {b}.",
    "since last week I wait for news on the {a}, and the {b} is still open.",
)
CLOSINGS = ("Thanks a lot.", "Best wishes, {name}", "Regards, {name}", "I look forward to your reply.", "Yours, {name}")
NAMES = "Ana Ben Cleo Dan Eva Finn Gia Hugo Ida Jon Kim Leo Mia Nils Olga Per".split()


def make_message(rng: random.Random) -> tuple[str, str]:
    """A message and the team that its words belong to."""
    team = rng.choice(sorted(TEAMS))
    a, b = rng.sample(TEAMS[team], 2)
    closing = rng.choice(CLOSINGS).format(name=rng.choice(NAMES))
    number = rng.randint(10000, 99999)
    return f"{rng.choice(OPENINGS)} {rng.choice(BODIES).format(a=a, b=b)} My number is {number}. {closing}", team


def main() -> None:
    for pipeline in ("prompt_suffices", "nothing_helps"):
        rng = random.Random(f"{SEED} {pipeline}")
        for split in SPLITS:
            rows = []
            for number in range(SIZE):
                message, team = make_message(rng)
                if pipeline == "nothing_helps":
                    team = rng.choice(sorted(TEAMS))
                row = {"id": f"{split}-{number:03d}", "inputs": {"message": message}, "expected": {"team": team}}
                rows.append(json.dumps(row) + "\n")
            (HERE / pipeline / "data" / f"{split}.jsonl").write_text("".join(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
