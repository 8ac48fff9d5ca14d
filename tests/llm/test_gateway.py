"""The gateway: cache, single flight, rate limits, retries and budget around a client that makes single attempts."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fapo.errors import BudgetExceeded, CredentialsError, PipelineError, ProviderError, UsageError
from fapo.llm.budget import Budget, Purpose
from fapo.llm.cache import ReplyCache
from fapo.llm.endpoints import Endpoint
from fapo.llm.gateway import Gateway
from fapo.records import ModelReply, ModelRequest, Usage
from tests.llm.fakes import FakeClient, FakeTime, ask, outage, rate_limit, reply_of, settle

T = TypeVar("T")


def run(client: FakeClient, body: Callable[[Gateway], Awaitable[T]], time: FakeTime | None = None, **options: Any) -> T:
    async def main() -> T:
        clock = time or FakeTime()
        client.clock = lambda: clock.now
        options.setdefault("patience", clock.patience())
        options.setdefault("cache", None)
        options.setdefault("budget", Budget())
        gateway = Gateway(client=client, **options)
        try:
            return await body(gateway)
        finally:
            await gateway.aclose()

    return asyncio.run(main())


def once(client: FakeClient, request: ModelRequest | None = None, **options: Any) -> ModelReply:
    return run(client, lambda gateway: gateway.complete(request or ask()), **options)


class TestCache:
    def test_a_reply_is_paid_for_once(self, tmp_path: Path) -> None:
        path, client = tmp_path / "replies.sqlite", FakeClient()
        first = once(client, cache=ReplyCache(path))
        second = once(client, cache=ReplyCache(path))
        assert len(client.requests) == 1
        assert (first.cached, second.cached) == (False, True)
        assert (first.text, second.usage) == (second.text, Usage(cached_calls=1))

    def test_trials_occurrences_and_identities_are_samples_of_their_own(self, tmp_path: Path) -> None:
        path, client = tmp_path / "replies.sqlite", FakeClient()
        for request in (ask(), ask(trial=1), ask(occurrence=1)):
            once(client, request, cache=ReplyCache(path))
        for digest in "ab":
            mine = Endpoint("openai/m", None, None, identity=digest)
            once(client, cache=ReplyCache(path), endpoints={"openai/m": mine})
        assert len(client.requests) == 5

    @pytest.mark.parametrize(
        "outcome", [ProviderError("gone"), PipelineError("too long"), reply_of("", finish_reason="content_filter")]
    )
    def test_errors_are_not_kept(self, tmp_path: Path, outcome: ModelReply | Exception) -> None:
        path, client = tmp_path / "replies.sqlite", FakeClient([outcome, reply_of("better")])
        with pytest.raises((ProviderError, PipelineError)):
            once(client, cache=ReplyCache(path))
        assert once(client, cache=ReplyCache(path)).text == "better"

    def test_a_reply_that_cannot_be_kept_is_returned_all_the_same(self, tmp_path: Path) -> None:
        path, client = tmp_path / "replies.sqlite", FakeClient()
        cache = ReplyCache(path, lock_timeout_s=0.01)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert once(client, cache=cache).text == "hello"
        other.close()
        again = ReplyCache(path)
        assert again.info().entries == 0
        again.close()


class TestSingleFlight:
    def test_equal_requests_in_flight_share_one_call_and_one_bill(self) -> None:
        client = FakeClient()

        async def body(gateway: Gateway) -> tuple[list[ModelReply], Usage]:
            replies = await asyncio.gather(*(gateway.complete(ask()) for _ in range(5)))
            return replies, gateway.usage("task")

        replies, usage = run(client, body)
        assert len(client.requests) == 1
        assert [reply.cached for reply in replies] == [False, True, True, True, True]
        assert sum((reply.usage for reply in replies), Usage()) == usage == Usage(1, 4, 10, 10, 0.01)

    def test_a_failure_reaches_all_who_wait(self) -> None:
        client = FakeClient([ProviderError("gone")])

        async def body(gateway: Gateway) -> list[Any]:
            return await asyncio.gather(*(gateway.complete(ask()) for _ in range(3)), return_exceptions=True)

        assert [str(outcome) for outcome in run(client, body)] == ["gone"] * 3
        assert len(client.requests) == 1

    def test_one_who_gives_up_does_not_take_the_call_from_the_others(self) -> None:
        client = FakeClient()

        async def body(gateway: Gateway) -> ModelReply:
            client.gate = asyncio.Event()
            first, second = (asyncio.create_task(gateway.complete(ask())) for _ in range(2))
            await settle()
            first.cancel()
            await settle()
            client.gate.set()
            return await second

        assert run(client, body) == reply_of()
        assert len(client.requests) == 1

    def test_a_call_on_the_wire_that_all_have_left_is_still_charged_and_kept(self, tmp_path: Path) -> None:
        client = FakeClient()

        async def body(gateway: Gateway) -> tuple[Usage, ModelReply]:
            client.gate = asyncio.Event()
            task = asyncio.create_task(gateway.complete(ask()))
            await settle()
            task.cancel()
            await settle()
            client.gate.set()
            await settle()
            return gateway.usage(), await gateway.complete(ask())

        usage, later = run(client, body, cache=ReplyCache(tmp_path / "replies.sqlite"))
        assert usage == Usage(1, 0, 10, 10, 0.01)
        assert later.cached
        assert len(client.requests) == 1

    def test_a_call_that_all_have_left_is_not_tried_again(self) -> None:
        client = FakeClient([outage()])

        async def body(gateway: Gateway) -> None:
            client.gate = asyncio.Event()
            task = asyncio.create_task(gateway.complete(ask()))
            await settle()
            task.cancel()
            await settle()
            client.gate.set()
            await settle()

        run(client, body)
        assert len(client.requests) == 1

    def test_one_who_comes_as_the_last_one_leaves_gets_a_call_of_his_own(self) -> None:
        time, client = FakeTime(), FakeClient([outage(), reply_of()])
        asleep = asyncio.Event()

        async def sleep_on(seconds: float) -> None:
            asleep.set()
            await asyncio.Event().wait()

        async def body(gateway: Gateway) -> ModelReply:
            left = asyncio.create_task(gateway.complete(ask()))
            await asleep.wait()
            left.cancel()
            return await asyncio.create_task(gateway.complete(ask()))

        assert run(client, body, time, patience=replace(time.patience(), sleep=sleep_on)).text == "hello"

    def test_one_who_gives_up_while_the_call_waits_ends_the_waiting(self) -> None:
        time, client = FakeTime(), FakeClient([outage(), reply_of()])
        asleep = asyncio.Event()

        async def sleep_on(seconds: float) -> None:
            asleep.set()
            await asyncio.Event().wait()

        async def body(gateway: Gateway) -> int:
            left = asyncio.create_task(gateway.complete(ask()))
            await asleep.wait()
            left.cancel()
            await settle()
            return len(asyncio.all_tasks())

        assert run(client, body, time, patience=replace(time.patience(), sleep=sleep_on)) == 1
        assert len(client.requests) == 1

    def test_one_who_joins_late_is_told_of_the_rest_of_the_wait(self) -> None:
        time, client, told = FakeTime(), FakeClient([outage(), reply_of()]), list[float]()
        asleep, awake = asyncio.Event(), asyncio.Event()

        async def sleep(seconds: float) -> None:
            asleep.set()
            await awake.wait()

        async def body(gateway: Gateway) -> None:
            first = asyncio.create_task(gateway.complete(ask()))
            await asleep.wait()
            time.now += 0.25
            second = asyncio.create_task(gateway.complete(ask(), on_hold=told.append))
            await settle()
            awake.set()
            await asyncio.gather(first, second)

        run(client, body, time, patience=replace(time.patience(), sleep=sleep))
        assert sum(told) == 0.75

    def test_closing_drops_the_calls_in_flight(self) -> None:
        client = FakeClient()

        async def body(gateway: Gateway) -> asyncio.Task[ModelReply]:
            client.gate = asyncio.Event()
            task = asyncio.create_task(gateway.complete(ask()))
            await settle()
            await gateway.aclose()
            await settle()
            return task

        assert run(client, body).cancelled()
        assert client.closed
        assert client.in_flight == 0


class TestRetries:
    def test_an_outage_is_tried_again_with_growing_waits(self) -> None:
        time, client = FakeTime(), FakeClient([outage(), outage(), outage(), reply_of()])
        reply = once(client, time=time)
        assert reply.text == "hello"
        assert time.slept == [1.0, 2.0, 4.0]
        assert reply.held_s == 7.0

    def test_jitter_halves_a_wait_at_most(self) -> None:
        time, client = FakeTime(), FakeClient([outage(), reply_of()])
        once(client, time=time, patience=time.patience(chance=0.0))
        assert time.slept == [0.5]

    def test_after_the_last_try_the_providers_error_remains(self) -> None:
        time, client = FakeTime(), FakeClient([outage()])
        with pytest.raises(ProviderError, match=r"it is down \(tried 3 times\)"):
            once(client, time=time, patience=time.patience(max_tries=3))
        assert len(client.requests) == 3

    @pytest.mark.parametrize(
        "error", [ProviderError("x"), CredentialsError("x"), PipelineError("x", kind="bad_request")]
    )
    def test_what_no_retry_mends_is_raised_at_once(self, error: Exception) -> None:
        client = FakeClient([error])
        with pytest.raises(type(error)):
            once(client)
        assert len(client.requests) == 1

    def test_a_reply_at_once_was_not_held(self) -> None:
        assert once(FakeClient()).held_s == 0.0


class TestRateLimits:
    def test_the_wait_is_what_the_provider_asks_for(self) -> None:
        time, client = FakeTime(), FakeClient([rate_limit(7.0), reply_of()])
        once(client, time=time, patience=time.patience(chance=0.0))
        assert client.sent_at == [100.0, 107.0]

    def test_all_calls_to_the_endpoint_wait_and_others_do_not(self) -> None:
        time, client = FakeTime(), FakeClient([rate_limit(30.0), reply_of()])
        asleep, awake = asyncio.Event(), asyncio.Event()

        async def sleep(seconds: float) -> None:
            asleep.set()
            await awake.wait()

        async def body(gateway: Gateway) -> tuple[list[str], list[str]]:
            first = asyncio.create_task(gateway.complete(ask("first")))
            await asleep.wait()
            others = [asyncio.create_task(gateway.complete(ask(str(n)))) for n in range(3)]
            await gateway.complete(ask("elsewhere", model="openai/other"))
            await settle()
            during = client.texts()
            time.now += 60.0
            awake.set()
            await asyncio.gather(first, *others)
            return during, client.texts()

        during, after = run(client, body, time, patience=replace(time.patience(), sleep=sleep))
        assert during == ["first", "elsewhere"]
        assert sorted(after) == ["0", "1", "2", "elsewhere", "first", "first"]

    def test_calls_do_not_come_back_as_one(self) -> None:
        time = FakeTime()
        client = FakeClient([rate_limit(10.0), rate_limit(10.0), rate_limit(10.0), reply_of()])
        chances = iter([0.0, 0.5, 1.0])
        patience = replace(time.patience(), chance=lambda: next(chances))

        async def body(gateway: Gateway) -> None:
            await asyncio.gather(*(gateway.complete(ask(str(n))) for n in range(3)))

        run(client, body, time, patience=patience)
        assert time.slept == [10.0, 12.5, 15.0]

    def test_after_a_long_wait_they_come_back_within_seconds_of_each_other(self) -> None:
        time, client = FakeTime(), FakeClient([rate_limit(400.0), reply_of()])
        once(client, time=time, patience=time.patience(chance=1.0))
        assert time.slept == [410.0]

    def test_a_rate_limit_is_no_failed_try(self) -> None:
        time, client = FakeTime(), FakeClient([*[rate_limit(1.0)] * 20, reply_of()])
        assert once(client, time=time, patience=time.patience(max_tries=2)).text == "hello"

    def test_without_a_word_on_how_long_the_waits_grow(self) -> None:
        time, client = FakeTime(), FakeClient([rate_limit(), rate_limit(), rate_limit(0.0), reply_of()])
        once(client, time=time, patience=time.patience(chance=0.0))
        assert client.sent_at == [100.0, 100.5, 101.5, 103.5]

    def test_a_wait_beyond_all_patience_is_an_error_that_says_so(self) -> None:
        time, client = FakeTime(), FakeClient([rate_limit(3600.0), reply_of()])
        with pytest.raises(ProviderError, match=r"slow down .*more to wait"):
            once(client, time=time)
        assert time.slept == []

    def test_a_failed_try_was_not_the_callers_time(self) -> None:
        time, client = FakeTime(), FakeClient([outage(), reply_of()], takes_s=3.0)
        client.spend = time.sleep
        assert once(client, time=time, patience=time.patience(chance=0.0)).held_s == 3.5

    def test_a_server_that_names_a_wait_gets_it(self) -> None:
        time, client = FakeTime(), FakeClient([outage(9.0), reply_of()])
        once(client, time=time, patience=time.patience(chance=0.0))
        assert client.sent_at == [100.0, 109.0]

    def test_waits_are_announced_before_they_begin(self) -> None:
        time, client, told = FakeTime(), FakeClient([rate_limit(10.0), reply_of()]), list[tuple[float, float]]()

        async def body(gateway: Gateway) -> ModelReply:
            return await gateway.complete(ask(), on_hold=lambda seconds: told.append((time.now, seconds)))

        reply = run(client, body, time, patience=time.patience(chance=0.0))
        assert [entry for entry in told if entry[1]] == [(100.0, 10.0)]
        assert reply.held_s == 10.0


class TestMoney:
    def test_a_budget_ends_the_calls(self) -> None:
        client = FakeClient([reply_of(cost_usd=0.4)])

        async def body(gateway: Gateway) -> None:
            for number in range(5):
                await gateway.complete(ask(str(number)))

        with pytest.raises(BudgetExceeded):
            run(client, body, budget=Budget(usd=1.0))
        assert len(client.requests) == 2

    def test_concurrent_calls_do_not_pass_the_budget(self) -> None:
        client, budget = FakeClient([reply_of(cost_usd=0.1)], guess_usd=0.1), Budget(usd=1.0)

        async def body(gateway: Gateway) -> None:
            await asyncio.gather(*(gateway.complete(ask(str(n))) for n in range(64)), return_exceptions=True)

        run(client, body, budget=budget)
        assert budget.spent().llm_calls in (9, 10)

    def test_cached_replies_need_no_budget(self, tmp_path: Path) -> None:
        client, path = FakeClient([reply_of(cost_usd=1.0)]), tmp_path / "replies.sqlite"
        once(client, cache=ReplyCache(path))
        assert once(client, cache=ReplyCache(path), budget=Budget(usd=1.0, calls=0)).cached

    def test_a_withheld_reply_is_the_pipelines_fault_and_is_paid(self) -> None:
        client, budget = FakeClient([reply_of("", finish_reason="content_filter")]), Budget()
        with pytest.raises(PipelineError) as caught:
            once(client, budget=budget)
        assert caught.value.kind == "content_policy"
        assert budget.spent("task").cost_usd == 0.01

    def test_an_unknown_cost_is_reported_as_unknown(self) -> None:
        budget = Budget()
        once(FakeClient([reply_of(cost_usd=None, tokens=None)]), budget=budget)
        assert budget.spent("task") == Usage(1, 0, None, None, None)

    def test_spenders_are_kept_apart(self) -> None:
        async def body(gateway: Gateway) -> tuple[Usage, Usage]:
            await gateway.complete(ask("a"))
            await gateway.complete(ask("b"), "judge")
            await gateway.complete(ask("c"), "judge")
            return gateway.usage("task"), gateway.usage("judge")

        task, judge = run(FakeClient(), body)
        assert (task.llm_calls, judge.llm_calls) == (1, 2)

    def test_a_dollar_budget_refuses_models_without_a_price_before_any_call(self) -> None:
        client = FakeClient(priced=lambda model: model != "openai/m")

        async def body(gateway: Gateway) -> None:
            gateway.require_prices(["openai/other"])
            gateway.require_prices(["openai/other", "openai/m"])

        with pytest.raises(UsageError, match="price of openai/m is unknown"):
            run(client, body, budget=Budget(usd=1.0))
        with pytest.raises(UsageError, match="price of openai/m is unknown"):
            once(client, budget=Budget(usd=1.0))
        assert client.requests == []

    def test_free_endpoints_and_runs_without_a_limit_need_no_price(self) -> None:
        client = FakeClient(priced=lambda model: False)
        once(client, budget=Budget(calls=5))
        free = Endpoint("openai/x", "http://127.0.0.1:1/v1", "k", identity="x", free=True)
        once(client, budget=Budget(usd=1.0), endpoints={"openai/m": free})
        assert len(client.requests) == 2


class TestEndpoints:
    def test_strings_are_translated_where_there_is_an_endpoint_and_passed_on_otherwise(self) -> None:
        client, mine = FakeClient(), Endpoint("openai/x", "http://127.0.0.1:1/v1", "k", identity="x")
        once(client, ask(model="standin/reader"), endpoints={"standin/reader": mine})
        once(client, ask(model="openai/m"), endpoints={"standin/reader": mine})
        assert client.endpoints == [mine, Endpoint("openai/m", None, None, identity="openai/m")]

    @pytest.mark.parametrize("base", ["http://127.0.0.1:8000/v1", "http://localhost/v1", "http://[::1]:80/v1"])
    def test_loopback_is_allowed_where_nothing_may_leave(self, base: str) -> None:
        mine = Endpoint("openai/x", base, "k", identity="x")
        assert once(FakeClient(), endpoints={"openai/m": mine}, loopback_only=True).text == "hello"

    @pytest.mark.parametrize("base", [None, "https://api.openai.com/v1", "http://127.0.0.1.example.com/v1", "nonsense"])
    def test_anything_else_is_refused_there(self, base: str | None) -> None:
        client = FakeClient()
        with pytest.raises(UsageError, match="would leave this machine"):
            once(client, endpoints={"openai/m": Endpoint("openai/x", base, "k", identity="x")}, loopback_only=True)
        assert client.requests == []

    def test_a_request_that_steers_the_call_elsewhere_is_never_sent(self) -> None:
        client = FakeClient()
        request = ModelRequest("openai/m", ask().messages, {"api_base": "http://attacker.example"})
        with pytest.raises(PipelineError):
            once(client, request)
        assert client.requests == []


def test_an_observer_is_told_of_every_reply() -> None:
    told: list[tuple[Purpose, bool]] = []

    async def body(gateway: Gateway) -> None:
        await gateway.complete(ask("a"))
        await asyncio.gather(*(gateway.complete(ask("b"), "judge") for _ in range(2)))

    run(FakeClient(), body, on_call=lambda purpose, reply: told.append((purpose, reply.cached)))
    assert told == [("task", False), ("judge", False), ("judge", True)]
