"""What goes wrong at an endpoint that speaks OpenAI's format, and what it means."""

from __future__ import annotations

from fapo.errors import CredentialsError, PipelineError, ProviderError
from tests.llm.model_server import Answer, fails, hangs_up, json_body, says

TOO_LONG = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."

RETRYABLE: dict[str, Answer] = {
    "server error": fails(500),
    "overloaded": fails(503, "overloaded"),
    "overloaded, as Anthropic says it": fails(529, "overloaded"),
    "bad gateway": says("<html>bad gateway</html>", "text/html", 502),
    "page instead of a reply": says("<html>welcome</html>", "text/html"),
    "broken JSON": says('{"id": "x", "choi'),
    "another JSON object": json_body({"hello": 1}),
    "JSON list": json_body([]),
    "error inside a 200": json_body({"error": {"message": "boom", "code": "x"}}),
    "timeout status": fails(408),
    "connection dropped": hangs_up,
}

FINAL: dict[str, tuple[Answer, type[Exception], str | None]] = {
    "wrong key": (fails(401, "bad key", "invalid_api_key"), CredentialsError, None),
    "forbidden": (fails(403), CredentialsError, None),
    "no such model": (fails(404, "the model `x` does not exist"), ProviderError, None),
    "not paid": (fails(402), ProviderError, None),
    "quota used up": (fails(429, "You exceeded your current quota", "insufficient_quota"), ProviderError, None),
    "no credit": (fails(400, "Your credit balance is too low"), ProviderError, None),
    "prompt too long": (fails(400, TOO_LONG, "context_length_exceeded"), PipelineError, "context_length"),
    "body too large": (fails(413), PipelineError, "context_length"),
    "unsafe": (fails(400, "not safe", "content_policy_violation"), PipelineError, "content_policy"),
    "bad parameter": (fails(400, "bad temperature", "invalid_value"), PipelineError, "bad_request"),
    "unprocessable": (fails(422, "bad temperature"), PipelineError, "bad_request"),
    "no such model, as a bad request": (fails(400, "unknown model", "model_not_found"), ProviderError, None),
}
