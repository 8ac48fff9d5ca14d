"""Which agent works for `fapo optimize`: Claude Code or Codex, with which model and credentials."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fapo.agent.protocol import Agent
    from fapo.config import Environment, Isolation
    from fapo.evaluation.connect import Connection

CODEX = "codex/"
"""What the name of a model begins with if Codex is to drive it."""
DEFAULT_AGENT_MODEL = "claude-opus-4-6"
DEFAULT_REFLECTION_MODEL = "anthropic/claude-opus-4-6"


@dataclass(frozen=True, slots=True)
class AgentChoice:
    """A coding agent's model: `named` is how the user names it, `model` how the agent's CLI does."""

    named: str

    @property
    def codex(self) -> bool:
        return self.named.startswith(CODEX)

    @property
    def model(self) -> str:
        return self.named.removeprefix(CODEX)

    @property
    def standin(self) -> bool:
        from fapo.evaluation.connect import STANDIN_OPTIMIZER

        return self.model == STANDIN_OPTIMIZER

    def require_credentials(self, environment: Environment) -> None:
        """Raise CredentialsError where there are none for the agent's model."""
        from fapo.agent.credentials import find_credentials, find_openai_key
        from fapo.errors import CredentialsError

        if self.standin:
            return
        if self.codex and find_openai_key(environment.variables) is None:
            raise CredentialsError("no credentials for Codex: set OPENAI_API_KEY (a login with ChatGPT is not used)")
        if not self.codex and find_credentials(environment.variables, environment.home) is None:
            raise CredentialsError(
                "no credentials for the optimizer: set ANTHROPIC_API_KEY, log in with `claude`, "
                "or use --optimizer-model standin/optimizer"
            )

    def variables(self, connection: Connection, environment: Environment) -> dict[str, str]:
        """The credentials with which the agent's process, or fapo in its place, reaches the model."""
        from fapo.agent.credentials import find_credentials, find_openai_key

        if self.standin:
            assert connection.standin is not None
            prefix = "OPENAI" if self.codex else "ANTHROPIC"
            return {f"{prefix}_BASE_URL": connection.standin.base_url, f"{prefix}_API_KEY": "standin"}
        if self.codex:
            found = find_openai_key(environment.variables)
        else:
            found = find_credentials(environment.variables, environment.home)
        assert found is not None
        return dict(found.environment)

    def agent(self, isolation: Isolation) -> Agent:
        """Raises IsolationError where the agent cannot be confined."""
        from fapo.agent.claude import ClaudeAgent
        from fapo.agent.codex import CodexAgent
        from fapo.llm.client import token_cost

        return CodexAgent(token_cost, isolation=isolation) if self.codex else ClaudeAgent(isolation=isolation)


def agent_of(task_models: Iterable[str], named: str | None) -> AgentChoice:
    """The coding agent: as named, else the stand-in where the pipeline itself runs on one."""
    from fapo.evaluation.connect import STANDIN_OPTIMIZER

    return AgentChoice(named or (STANDIN_OPTIMIZER if _on_standins(task_models) else DEFAULT_AGENT_MODEL))


def reflection_model_of(task_models: Iterable[str], named: str | None) -> str:
    """GEPA's reflection model: as named, else the stand-in where the pipeline itself runs on one."""
    from fapo.evaluation.connect import STANDIN_REFLECTOR

    return named or (STANDIN_REFLECTOR if _on_standins(task_models) else DEFAULT_REFLECTION_MODEL)


def _on_standins(models: Iterable[str]) -> bool:
    from fapo.evaluation.project import STANDIN_PREFIX

    return any(model.startswith(STANDIN_PREFIX) for model in models)
