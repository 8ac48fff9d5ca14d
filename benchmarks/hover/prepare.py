"""HoVer as GEPA splits it: claims with three gold titles, shuffled with seed 0, cut 40/40/20, samples with seed 1."""

import random

COUNTS = {"test": 300, "validation": 300, "train": 150}
TITLES = 3


def cases(rows):
    """Source `train` to splits. Facts come as [title, sentence], or as {"key": title, "value": sentence}."""
    kept = [row for row in rows["train"] if len(_titles(row)) == TITLES]
    random.Random(0).shuffle(kept)
    first, second = int(0.4 * len(kept)), int(0.8 * len(kept))
    parts = {"test": kept[:first], "validation": kept[first:second], "train": kept[second:]}
    return {split: [_case(row) for row in _sampled(part, COUNTS[split])] for split, part in parts.items()}


def _titles(row):
    facts = row["supporting_facts"]
    names = [fact["key"] if isinstance(fact, dict) else fact[0] for fact in facts]
    return list(dict.fromkeys(str(name) for name in names))


def _sampled(part, count):
    return part if len(part) <= count else random.Random(1).sample(part, count)


def _case(row):
    return {
        "id": str(row["uid"]),
        "inputs": {"claim": str(row["claim"])},
        "expected": {"titles": _titles(row)},
        "metadata": {"hops": int(row["num_hops"]), "hpqa_id": str(row["hpqa_id"])},
    }
