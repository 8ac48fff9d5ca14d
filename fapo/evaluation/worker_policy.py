"""What pipeline code may do: the same policy for the parent, who starts the worker, and the worker, who applies it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fapo.sandbox.policy import Level, Policy, runtime_paths


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker is told before it imports pipeline code. Paths are absolute; `models` are model strings by role."""

    directory: str
    scratch: str
    level: Level
    params: dict[str, Any]
    models: dict[str, str]
    memory_bytes: int
    openai_endpoint: bool
    corpus: str | None = None

    @property
    def policy(self) -> Policy:
        return Policy(
            read=(Path(self.directory), *([Path(self.corpus)] if self.corpus else []), *runtime_paths()),
            write=(Path(self.scratch),),
            memory_bytes=self.memory_bytes,
            network="private" if self.openai_endpoint and self.level == "full" else "none",
        )

    def as_message(self) -> dict[str, Any]:
        return asdict(self)
