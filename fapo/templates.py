"""Pipelines to begin with: what `fapo init` copies, under a name of the user's."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from fapo.data import builtin_names, find_builtin
from fapo.errors import StorageError, UsageError, did_you_mean
from fapo.pipeline.spec import SPEC_FILE

TEMPLATE_FILE = "template.yaml"
DEFAULT = "classify"
_PLACEHOLDER = "my_pipeline"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_LEFT_OUT = shutil.ignore_patterns(TEMPLATE_FILE, "__pycache__", "fapo.lock")
_NAMED_IN = (SPEC_FILE, "README.md")


@dataclass(frozen=True, slots=True)
class Template:
    """`about` is one line; `extra` names what has to be installed with fapo, if anything."""

    name: str
    about: str
    extra: str | None
    directory: Path


def templates() -> Iterator[Template]:
    """All templates, in order of their names."""
    for name in builtin_names("templates", TEMPLATE_FILE):
        directory = find_builtin("templates", name)
        assert directory is not None
        facts = yaml.safe_load((directory / TEMPLATE_FILE).read_text(encoding="utf-8"))
        yield Template(name, str(facts["about"]), facts.get("extra"), directory)


def find_template(name: str) -> Template:
    """Raises UsageError that says which there are."""
    known = {template.name: template for template in templates()}
    if name not in known:
        raise UsageError(f"no such template: `{name}`{did_you_mean(name, known)}; there are {', '.join(known)}")
    return known[name]


def make_pipeline(target: Path, template: Template) -> tuple[str, ...]:
    """Copy a template to `target`, whole or not at all; returns the paths of its files, in order.

    The folder's name becomes the pipeline's. Raises UsageError where it is none, or where something is there already.
    """
    name = target.name
    if not _NAME.fullmatch(name):
        better = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-0123456789")
        hint = f", such as `{better}`" if better else ""
        raise UsageError(f"`{name}` is no name for a pipeline: a letter, then letters, digits, _ and -{hint}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError("is there already; choose another name, or remove it first", path=target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}.") as scratch:
            made = Path(shutil.copytree(template.directory, Path(scratch, name), ignore=_LEFT_OUT))
            for folder in (made, *(path for path in made.rglob("*") if path.is_dir())):
                folder.chmod(0o755)
            for file in _NAMED_IN:
                text = (made / file).read_text(encoding="utf-8")
                (made / file).chmod(0o644)
                (made / file).write_text(text.replace(_PLACEHOLDER, name), encoding="utf-8")
            made.rename(target)
    except OSError as error:
        raise StorageError.of(target, error) from None
    return tuple(sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()))
