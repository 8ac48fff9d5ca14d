"""CTIBench-RCM in FAPO's 173 development and 827 test cases, by the rule of its code.

Cases are grouped by label. Groups of three or fewer are test; of the others, in the order of their labels, one fifth,
rounded down but at least one, is drawn for development. Seed 42. Which 60 of the 173 are train is a choice made here:
the first of their shuffled order.
"""

import random
from collections import defaultdict

SEED, SHARE, RARE = 42, 0.2, 3
TRAIN = 60


def cases(rows):
    """Source `test` to splits. Columns: URL, Description, Prompt, GT."""
    rng = random.Random(SEED)
    groups = defaultdict(list)
    for row in rows["test"]:
        case = _case(row)
        groups[case["expected"]["cwe"]].append(case)
    development, test = [], []
    for label in sorted(groups):
        group = groups[label]
        if len(group) <= RARE:
            test += group
            continue
        rng.shuffle(group)
        cut = max(1, int(len(group) * SHARE))
        development += group[:cut]
        test += group[cut:]
    rng.shuffle(development)
    rng.shuffle(test)
    return {"train": development[:TRAIN], "validation": development[TRAIN:], "test": test}


def _case(row):
    return {
        "id": row["URL"].strip().rstrip("/").rsplit("/", 1)[-1],
        "inputs": {"description": " ".join(row["Description"].split())},
        "expected": {"cwe": row["GT"].strip().upper()},
    }
