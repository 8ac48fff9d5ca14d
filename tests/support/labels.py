"""A benchmark whose cases have the labels of others: what still scores well on it does not look at its inputs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fapo.records import SPLITS
from tests.support.command import builtin


def with_labels_of_others(
    name: str, folder: Path, alike: Callable[[dict[str, Any]], object] = lambda row: None
) -> Path:
    """A copy of the built-in pipeline `name` on a copy of its benchmark: each case has the label of the next one.

    With `alike`, the next one for which it returns the same.
    """
    benchmark = shutil.copytree(builtin("benchmarks", name), folder / "shuffled")
    for split in SPLITS:
        path = benchmark / "data" / f"{split}.jsonl"
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for kind in {alike(row) for row in rows}:
            own = [row for row in rows if alike(row) == kind]
            labels = [row["expected"] for row in own]
            for row, label in zip(own, [*labels[1:], labels[0]], strict=True):
                row["expected"] = label
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    pipeline = shutil.copytree(builtin("pipelines", name), folder / "pipeline")
    spec = pipeline / "pipeline.yaml"
    text = spec.read_text(encoding="utf-8")
    assert f"benchmark: {name}\n" in text
    spec.write_text(text.replace(f"benchmark: {name}\n", f"benchmark: {benchmark}\n"), encoding="utf-8")
    return pipeline
