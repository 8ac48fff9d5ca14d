"""What a run found, as tables and lines: for `fapo optimize`, `fapo show` and `fapo watch`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from fapo.cli.console import stdout, table

if TYPE_CHECKING:
    from fapo.report.run_summary import Gain, VariantRow


def variant_table(rows: Iterable[VariantRow]) -> Table:
    """A row for each submitted variant."""
    columns = ("variant", "level", "step", "technique", "points", "cases", "verdict")
    shown = table(*columns, right=lambda c: c in ("points", "cases"))
    for row in rows:
        points = "–" if row.difference is None else f"{100 * row.difference:+.1f}"
        cases = "–" if row.cases is None else str(row.cases)
        shown.add_row(row.id, row.level or "", escape(row.step), escape(row.technique), points, cases,
                      row.verdict or "")  # fmt: skip
    return shown


def means_table(rows: Mapping[str, tuple[float | None, float | None]]) -> Table:
    """Mean scores on validation and test by name; None for a test that is sealed."""
    shown = table("", "validation", "test", right=lambda c: c != "")
    for name, (validation, test) in rows.items():
        shown.add_row(escape(name), "–" if validation is None else f"{validation:.3f}",
                      "sealed" if test is None else f"{test:.3f}")  # fmt: skip
    return shown


def show_gains(validation: Gain | None, test: Gain | None) -> None:
    from fapo.report.run_summary import describe_gain

    for name, gain in (("on validation", validation), ("on test", test)):
        if gain is not None:
            stdout().print(f"{f'gain {name}:':19} {describe_gain(gain)}")
