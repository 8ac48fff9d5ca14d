"""What lies in the folder of runs: optimizations and evaluations, as rows of a table."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from fapo.errors import FapoError
from fapo.evaluation.evaluate import MANIFEST_FILE, load_decided
from fapo.records import Usage
from fapo.store.files import read_json, read_lines

Kind = Literal["optimize", "eval"]


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. `score` is that of an evaluation, or of the baseline on validation; `best` that of the best variant."""

    name: str
    kind: Kind
    pipeline: str
    status: str
    score: float | None
    best: float | None
    cost_usd: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def list_runs(runs_dir: Path, limit: int) -> list[RunRow]:
    """The latest runs first; what is neither a run nor an evaluation is passed over."""
    rows: list[RunRow] = []
    for path in sorted((path for path in runs_dir.glob("*") if path.is_dir()), reverse=True):
        if len(rows) == limit:
            break
        if (row := run_row(path)) is not None:
            rows.append(row)
    return rows


def run_row(path: Path) -> RunRow | None:
    """One directory of the folder of runs; None for what is neither a run nor an evaluation."""
    try:
        if (path / "run.json").is_file():
            return _optimization(path)
        if (path / MANIFEST_FILE).is_file():
            return _evaluation(path)
    except (FapoError, OSError, ValueError, KeyError):
        return RunRow(path.name, "optimize", "", "unreadable", None, None, None)
    return None


def _optimization(path: Path) -> RunRow:
    """From the journal's events as they are: what is not known here is passed over."""
    pipeline = str(read_json(path / "run.json")["pipeline"])
    status, incumbent, cost = "unfinished", "000", Usage()
    means: dict[str, float] = {}
    paid: dict[tuple[str, ...], Usage] = {}
    for line in read_lines(path / "journal.jsonl"):
        event = json.loads(line)["event"]
        match event["event"]:
            case "evaluated":
                key = (event["variant"], event["split"], str(event["limit"]), str(event["trial"]))
                paid[key] = Usage(**event["paid"])
                if event["split"] == "validation" and not event["trial"] and event["n"] == event["of"]:
                    means[event["variant"]] = event["mean"]
            case "decided" if event["verdict"] == "accepted":
                incumbent = event["variant"]
            case "session_ended":
                cost += Usage(**event["usage"])
            case "finished":
                status = event["status"]
    total = sum(paid.values(), cost)
    best = means.get(incumbent) if incumbent != "000" else None
    return RunRow(path.name, "optimize", pipeline, status, means.get("000"), best, total.cost_usd)


def _evaluation(path: Path) -> RunRow:
    manifest = read_json(path / MANIFEST_FILE)
    records = load_decided(path).values()
    values = [record.value for record in records if record.value is not None]
    cost = sum((record.usage for record in records), Usage()).cost_usd
    score = sum(values) / len(values) if values else None
    return RunRow(path.name, "eval", str(manifest["pipeline"]), str(manifest["split"]), score, None, cost)
