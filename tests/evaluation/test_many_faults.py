"""2,000 cases at an endpoint of which one call in twenty goes wrong: each ends as a score or as the right failure."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from fapo.errors import ScorerError
from fapo.evaluation.evaluate import TRACES_FILE, Evaluation, EvaluationPlan, evaluate
from fapo.llm.budget import Budget
from fapo.llm.cache import ReplyCache
from fapo.llm.endpoints import Endpoint
from fapo.llm.gateway import Gateway, Patience
from fapo.records import Case, Prediction, Score
from fapo.store.files import read_lines
from tests.llm.faults import TOO_LONG
from tests.llm.model_server import Answer, fails, hangs_up, json_body, never_answers, replies, says
from tests.support.evaluations import Watcher

MakePlan = Callable[..., EvaluationPlan]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:litellm", "ignore:.*:UserWarning:pydantic")

N = 2000
SHARE = 0.05
CODE = """\
    async def run(inputs, ctx):
        first = await ctx.llm("say", text=inputs["text"])
        return await ctx.llm("again", text=first)
    """
PROMPTS = {"say": "User:\n{{ text }}\n", "again": "User:\nagain {{ text }}\n"}
SPEC = "name: p\nbenchmark: b\nmodels: {task: fake}\nlimits: {timeout_s: 120, llm_calls: 2}\n"


async def ends_early(request: web.Request) -> web.Response:
    """Promises more than it sends, then closes the connection."""
    assert request.transport is not None
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
    request.transport.write(head + b'{"id": "1", "object": "chat.completion", "choices": [{"index": 0, "mess')
    request.transport.close()
    return web.Response()


PASSING: tuple[Answer, ...] = (
    fails(429, "rate limit", "rate_limit_exceeded", Retry_After="0.02"),
    fails(500),
    fails(503, "overloaded"),
    hangs_up,
    never_answers,
    ends_early,
    says('{"id": "x", "choi'),
    says("<html>bad gateway</html>", "text/html", 502),
    json_body({"error": {"message": "boom", "code": "x"}}),
    json_body({"hello": 1}),
)
LASTING: dict[int, tuple[Answer, str, str]] = {
    7: (fails(400, TOO_LONG, "context_length_exceeded"), "pipeline", "context_length"),
    13: (fails(400, "not safe", "content_policy_violation"), "pipeline", "content_policy"),
    17: (fails(500), "provider", "unavailable"),
    23: (replies("unreadable"), "pipeline", "unscorable"),
}
"""By the remainder of the case's number: how its second call always ends, and whose failure of which kind that is."""


def lasting(number: int) -> tuple[Answer, str, str] | None:
    return LASTING.get(number % 200)


@dataclass
class Endpoints:
    """Upper-cases what it is asked. `healed`: only the refusals are left that are the pipeline's own."""

    healed: bool = False
    tries: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        text = body["messages"][-1]["content"]
        number = int(text.lower().rpartition("word")[2])
        self.tries[text] += 1
        found = lasting(number) if text.startswith("again") else None
        if found is not None and not (self.healed and found[1] == "provider"):
            return await found[0](request)
        draw = random.Random(f"{text} {self.tries[text]}")
        if not self.healed and draw.random() < SHARE:
            return await draw.choice(PASSING)(request)
        self.answered[text] += 1
        return await replies(text.upper().removeprefix("AGAIN "))(request)


@asynccontextmanager
async def served(endpoint: Endpoints) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", endpoint.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


def exact(case: Case, prediction: Prediction) -> Score:
    if prediction.output == "unreadable":
        raise ValueError("no such answer")
    return Score(float(prediction.output == case.expected))


def run(plan: EvaluationPlan, endpoint: Endpoints, cache: Path) -> tuple[Evaluation, Watcher]:
    async def whole() -> tuple[Evaluation, Watcher]:
        async with served(endpoint) as address:
            own = {"fake": Endpoint("openai/gpt-4o-mini", address, "x", "fake", free=False)}
            patience = Patience(timeout_s=5.0, first_wait_s=0.01, longest_wait_s=0.05)
            kept, watcher = ReplyCache(cache), Watcher()
            gateway = Gateway(
                cache=kept,
                budget=Budget(),
                endpoints=own,
                patience=patience,
                loopback_only=True,
                concurrency=64,
            )
            try:
                return await evaluate(plan, gateway, watcher), watcher
            finally:
                await gateway.aclose()
                kept.close()

    return asyncio.run(whole())


@dataclass(frozen=True)
class Both:
    """The same evaluation at the faulty endpoint, and resumed when that is healed."""

    rough: Evaluation
    rough_endpoint: Endpoints
    rough_watcher: Watcher
    resumed: Evaluation
    healed_endpoint: Endpoints
    lines: int


@pytest.fixture
def both(make_plan: MakePlan, tmp_path: Path) -> Both:
    plan = make_plan(CODE, PROMPTS, n=N, spec=SPEC, score=exact, concurrency=64)
    rough_endpoint, healed_endpoint = Endpoints(), Endpoints(healed=True)
    rough, watcher = run(plan, rough_endpoint, tmp_path / "cache.sqlite")
    resumed, _ = run(plan, healed_endpoint, tmp_path / "cache.sqlite")
    lines = sum(1 for _ in read_lines(plan.directory / TRACES_FILE))
    return Both(rough, rough_endpoint, watcher, resumed, healed_endpoint, lines)


def expected(number: int, *, healed: bool) -> tuple[float | None, str | None, str | None]:
    """Value, owner and kind of the failure of a case."""
    found = lasting(number)
    if found is None or (healed and found[1] == "provider"):
        return 1.0, None, None
    return None if found[1] == "provider" else 0.0, found[1], found[2]


def ended(evaluation: Evaluation) -> dict[str, tuple[float | None, str | None, str | None]]:
    assert len(evaluation.results) == N
    return {
        result.case_id: (
            result.value,
            result.failure.owner if result.failure else None,
            result.failure.kind if result.failure else None,
        )
        for result in evaluation.results
    }


def test_every_case_ends_as_it_should_and_is_paid_for_once(both: Both) -> None:
    faults = sum(both.rough_endpoint.tries.values()) - sum(both.rough_endpoint.answered.values())
    assert faults > N * SHARE
    assert ended(both.rough) == {f"case-{n}": expected(n, healed=False) for n in range(N)}
    assert len(both.rough_watcher.seen) == N
    undecided = {f"case-{n}" for n in range(N) if n % 200 == 17}
    assert both.rough.values.keys() == {f"case-{n}" for n in range(N)} - undecided
    assert set(both.rough_endpoint.answered.values()) == {1}
    assert both.rough.mean == sum(both.rough.values.values()) / (N - len(undecided))

    assert ended(both.resumed) == {f"case-{n}": expected(n, healed=True) for n in range(N)}
    assert both.healed_endpoint.tries.keys() == {f"again WORD{case.removeprefix('case-')}" for case in undecided}
    assert both.lines == N + len(undecided)


def test_an_outage_ends_it_with_what_is_done_saved(make_plan: MakePlan, tmp_path: Path) -> None:
    class Outage(Endpoints):
        async def handle(self, request: web.Request) -> web.StreamResponse:
            if len(self.answered) >= 100:
                return await fails(503, "down for maintenance")(request)
            return await super().handle(request)

    plan = make_plan(CODE, PROMPTS, n=500, spec=SPEC, score=exact, concurrency=16)
    outage = Outage(healed=True)
    with pytest.raises(Exception, match="down for maintenance") as stopped:
        run(plan, outage, tmp_path / "cache.sqlite")
    assert not isinstance(stopped.value, ScorerError)
    healed = Endpoints(healed=True)
    resumed, _ = run(plan, healed, tmp_path / "cache.sqlite")
    assert [result.value for result in resumed.results] == [expected(n, healed=True)[0] for n in range(500)]
    assert not outage.answered.keys() & healed.answered.keys()


def test_a_scorer_that_cannot_score_a_case_at_all_stops_it(make_plan: MakePlan, tmp_path: Path) -> None:
    def broken(case: Case, prediction: Prediction) -> Score:
        if case.id == "case-40":
            raise KeyError("label")
        return exact(case, prediction)

    plan = make_plan(CODE, PROMPTS, n=60, spec=SPEC, score=broken, concurrency=4)
    endpoint = Endpoints(healed=True)
    with pytest.raises(ScorerError, match="case-40"):
        run(plan, endpoint, tmp_path / "cache.sqlite")
    kept = [json.loads(line) for line in read_lines(plan.directory / TRACES_FILE)]
    assert 0 < len(kept) < 60
    assert "case-40" not in {record["case_id"] for record in kept}
