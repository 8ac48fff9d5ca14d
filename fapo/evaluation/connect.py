"""Opens what an evaluation calls: the gateway, and the offline stand-in where a model is named `standin/...`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from fapo.config import CallLimits, Environment
from fapo.errors import UsageError, did_you_mean
from fapo.evaluation.project import STANDIN_PREFIX
from fapo.llm.budget import Budget
from fapo.llm.cache import ReplyCache
from fapo.llm.client import check_model
from fapo.llm.endpoints import Endpoint
from fapo.llm.gateway import Gateway
from fapo.standin.process import StandinAddress, standin_server
from fapo.store.files import make_directory

STANDIN_READER = "standin/reader"
STANDIN_TEACHER = "standin/teacher"
STANDIN_OPTIMIZER = "standin/optimizer"
STANDIN_REFLECTOR = "standin/reflector"
STANDIN_JUDGE = "standin/judge"
_TASK_STANDINS = (STANDIN_READER, STANDIN_TEACHER, STANDIN_REFLECTOR, STANDIN_JUDGE)


@dataclass(frozen=True, slots=True)
class Connection:
    """`unpriced` are the models whose price is unknown."""

    gateway: Gateway
    budget: Budget
    standin: StandinAddress | None
    unpriced: tuple[str, ...]


def check_models(names: Iterable[str]) -> None:
    """Raise UsageError for unknown model strings, and CredentialsError for missing keys."""
    for name in names:
        if not name.startswith(STANDIN_PREFIX):
            check_model(name)
        elif name not in _TASK_STANDINS:
            near = did_you_mean(name, _TASK_STANDINS)
            raise UsageError(f"unknown model `{name}`: the stand-ins are {', '.join(_TASK_STANDINS)}{near}")


@asynccontextmanager
async def connect(
    models: Iterable[str],
    environment: Environment,
    *,
    limits: CallLimits,
    standin: bool = False,
    forecast: bool = False,
) -> AsyncIterator[Connection]:
    """A gateway to `models` for as long as the context lasts; with `standin`, the stand-ins run in any case.

    Raises UsageError for unknown model strings, CredentialsError for missing keys, and UsageError where a price is
    unknown and no limit is set that holds all the same, before any money is spent. A `forecast` needs no such limit.
    """
    names = sorted(set(models))
    check_models(names)
    async with AsyncExitStack() as stack:
        address = None
        endpoints: dict[str, Endpoint] = {}
        if standin or any(name.startswith(STANDIN_PREFIX) for name in names):
            address = await stack.enter_async_context(standin_server())
            for name in _TASK_STANDINS:
                endpoints[name] = Endpoint(
                    model=f"openai/{name.replace('/', '-')}",
                    api_base=f"{address.base_url}/v1",
                    api_key="standin",
                    identity=f"{name}@{address.digest}",
                    free=True,
                )
        make_directory(environment.cache_file.parent)
        budget = Budget(usd=limits.budget_usd, calls=limits.max_calls, tokens=limits.max_tokens)
        gateway = Gateway(
            cache=ReplyCache(environment.cache_file),
            budget=budget,
            endpoints=endpoints,
            concurrency=limits.concurrency,
            rpm=limits.rpm,
            tpm=limits.tpm,
        )
        stack.push_async_callback(gateway.aclose)
        gateway.require_prices(names)
        unpriced = gateway.unpriced(names)
        if unpriced and limits.max_calls is None and limits.max_tokens is None and not forecast:
            raise UsageError(
                f"the price of {', '.join(unpriced)} is unknown: say how much may be used, by --max-calls or "
                "--max-tokens; --dry-run tells how much it will be"
            )
        yield Connection(gateway, budget, address, tuple(unpriced))
