"""With shuffled labels there is nothing to gain, and the same run must say so."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

from tests.support.command import builtin, optimize


def test_with_shuffled_labels_nothing_is_gained_on_test(tmp_path: Path) -> None:
    source = builtin("benchmarks", "cve_cwe")
    pipeline = tmp_path / "shuffled"
    shutil.copytree(builtin("pipelines", "cve_to_cwe"), pipeline)
    (pipeline / "data").mkdir()
    rng = random.Random(7)
    for split in ("train", "validation", "test"):
        rows = [json.loads(line) for line in (source / "data" / f"{split}.jsonl").read_text().splitlines()]
        labels = [row["expected"] for row in rows]
        rng.shuffle(labels)
        text = "".join(json.dumps(row | {"expected": label}) + "\n" for row, label in zip(rows, labels, strict=True))
        (pipeline / "data" / f"{split}.jsonl").write_text(text)
    spec = (pipeline / "pipeline.yaml").read_text()
    files = "{train: data/train.jsonl, validation: data/validation.jsonl, test: data/test.jsonl}"
    inline = f"data: {files}\nscore: cwe_match\nclosed_labels: true\n"
    kept = [line for line in spec.splitlines() if not line.startswith("benchmark:")]
    (pipeline / "pipeline.yaml").write_text("\n".join(kept) + "\n" + inline)
    result = optimize(tmp_path, pipeline)
    gain = result["test_gain"]
    assert gain is None or not (gain["mean"] > 0 and gain["p"] < 0.05)
    assert result["variants"], "the optimizer must have tried"
