"""IFBench as GEPA splits it: of its training file rows 0 to 299 are validation, 150 of rows 300 to 599 train."""

import random

TRAIN = 150
VALIDATION_ROWS, TRAIN_ROWS = slice(0, 300), slice(300, 600)
NOT_IN_GEPA = frozenset(map(str, range(269, 275)))


def cases(rows):
    """Sources `train` and `test` to splits. Of the 300 test rows, the 294 that GEPA's copy and FAPO's figures have."""
    drawn = random.Random(1).sample(rows["train"][TRAIN_ROWS], TRAIN)
    test = [row for row in rows["test"] if str(row["key"]) not in NOT_IN_GEPA]
    return {
        "train": [_case("train", row) for row in drawn],
        "validation": [_case("train", row) for row in rows["train"][VALIDATION_ROWS]],
        "test": [_case("test", row) for row in test],
    }


def _case(source, row):
    names = [str(name) for name in row["instruction_id_list"]]
    given = [{key: value for key, value in each.items() if value is not None} for each in row["kwargs"]]
    return {
        "id": f"{source}-{row['key']}",
        "inputs": {"prompt": str(row["prompt"])},
        "expected": {"instruction_id_list": names, "kwargs": given},
        "metadata": {"instructions": len(names)},
    }
