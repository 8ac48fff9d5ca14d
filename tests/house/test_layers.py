"""The house: imports point down, heavy libraries sit behind one module, the public surface is what it says."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fapo

PACKAGE = Path(fapo.__file__).parent

LAYERS = {
    "records": 0, "errors": 0, "config": 1, "pipeline": 2, "stats": 2, "acceptance": 2, "review": 2, "sandbox": 2,
    "store": 2, "data": 3, "interchange": 3, "standin": 3, "llm": 3, "agent": 3, "evaluation": 4, "benchmark": 4,
    "templates": 4, "attribution": 5, "report": 5, "ci": 6, "optimize": 6, "tracking": 7, "ui": 7, "cli": 8,
}  # fmt: skip

SEAMS = {
    "litellm": {"llm/client.py"},
    "claude_agent_sdk": {"agent/claude.py"},
    "datasets": {"data.py"},
    "gepa": {"optimize/reflection.py"},
    "huggingface_hub": {"benchmark/sources.py"},
    "pyarrow": {"benchmark/sources.py"},
    "scipy": {"stats.py", "acceptance.py"},
    "mlflow": {"tracking/mlflow_runs.py"},
    "opentelemetry": {"tracking/otel_spans.py"},
    "wandb": {"tracking/wandb_runs.py"},
    "sse_starlette": {"ui/streams.py"},
    "uvicorn": {"ui/app.py"},
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def imported_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part_of(module: str) -> str | None:
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 and pieces[0] == "fapo" and pieces[1] in LAYERS else None


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down_and_never_sideways(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    own = relative.parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for name in imported_names(path):
        other = part_of(name)
        if other is not None and other != own:
            assert LAYERS[other] < LAYERS[own], f"{relative} imports {name}"


def test_every_module_has_a_layer() -> None:
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules()}
    assert parts - {"__init__"} == set(LAYERS)


@pytest.mark.parametrize("library", SEAMS)
def test_heavy_libraries_sit_behind_one_module(library: str) -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in modules()
        if any(name == library or name.startswith(f"{library}.") for name in imported_names(path))
    }
    assert users == SEAMS[library]


def test_relative_imports_are_not_used() -> None:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path


def test_the_stand_ins_know_nothing_of_fapo() -> None:
    for path in (PACKAGE / "standin").glob("*.py"):
        for name in imported_names(path):
            assert not name.startswith("fapo") or name.startswith("fapo.standin"), f"{path.name} imports {name}"


def test_public_names_exist_and_are_all_that_is_public() -> None:
    public = {name for name in vars(fapo) if not name.startswith("_")}
    submodules = {name for name in LAYERS if name in public}
    assert public - submodules == set(fapo.__all__) - {"__version__"}
    assert all(hasattr(fapo, name) for name in fapo.__all__)


@pytest.mark.parametrize("entry", ["fapo", "fapo.cli.main", "fapo.evaluation.worker"])
def test_heavy_libraries_are_not_imported_before_they_are_needed(entry: str) -> None:
    heavy = ["litellm", "datasets", "claude_agent_sdk", "scipy", "pydantic_ai", "starlette", "uvicorn"]
    if entry == "fapo.cli.main":
        heavy += ["asyncio", "pydantic", "rich", "jinja2"]
    if entry == "fapo.evaluation.worker":
        heavy += ["pydantic", "rich", "typer"]
    code = f"import sys, {entry}; print(*[m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""
