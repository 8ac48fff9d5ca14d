"""Test is opened, once, at the end of a search."""

from __future__ import annotations

from fapo.optimize.events import Finished, OpenedTest
from fapo.optimize.run import Run
from fapo.records import BASELINE


async def open_test(run: Run) -> None:
    """Baseline and best on test, the only time that test is read. Without a gain on validation it stays sealed."""
    best = run.state.incumbent
    if best == BASELINE:
        run.log(Finished("no_gain"))
        return
    await run.evaluate(best, "validation")
    if run.state.test is None:
        number, level = run.open_test()
        run.log(OpenedTest((BASELINE, best), number, level))
    confirmed = await run.confirm(best)
    run.log(Finished("improved" if confirmed else "unconfirmed"))
