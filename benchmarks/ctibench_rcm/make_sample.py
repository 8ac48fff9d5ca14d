"""Draws the sample from the rows of benchmarks/cve_cwe that its own splits leave over. Run it again: the same files.

As there, cases of one assigner, and near-duplicates, lie in one split only.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

HERE = Path(__file__).parent
CVE_CWE = HERE.parent / "cve_cwe"
sys.path.insert(0, str(CVE_CWE))

from make_splits import SPLITS, Row, divide, group, read_source, thin  # noqa: E402  it lies in the other directory

SEED = 20261128
SIZE = 50
MOST_OF_AN_ASSIGNER = 9


def left_over() -> list[Row]:
    used = {
        json.loads(line)["id"]
        for split in SPLITS
        for line in (CVE_CWE / "data" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    }
    return [row for row in read_source() if row["id"] not in used]


def main() -> None:
    rng = random.Random(SEED)
    splits = divide(group(thin(left_over(), rng, MOST_OF_AN_ASSIGNER)), rng, SIZE)
    for name, rows in splits.items():
        rng.shuffle(rows)
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (HERE / "data" / f"{name}.jsonl").write_text(text, encoding="utf-8")
        print(f"{name}: {len(rows)} cases, {len({row['metadata']['assigner'] for row in rows})} assigners")


if __name__ == "__main__":
    main()
