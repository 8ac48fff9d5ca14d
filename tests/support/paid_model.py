"""A model that costs money, as far as fapo can tell: an OpenAI-compatible endpoint on loopback, in a thread."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

QUOTA = {"error": {"message": "you are out of credit", "type": "insufficient_quota", "code": "insufficient_quota"}}


@dataclass
class PaidModel:
    """Answers `reply(prompt)` at 1,000 tokens in and 100 out; refuses for good what holds a text in `refused`."""

    port: int = 0
    refused: tuple[str, ...] = ()
    reply: Callable[[str], str] = lambda prompt: "billing"
    prompts: list[str] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which `openai/...` leads here."""
        address = f"http://127.0.0.1:{self.port}/v1"
        return {"OPENAI_API_KEY": "a-key", "OPENAI_BASE_URL": address, "OPENAI_API_BASE": address}

    def answer(self, prompt: str) -> tuple[int, object]:
        self.prompts.append(prompt)
        if any(text in prompt for text in self.refused):
            return 429, QUOTA
        message = {"role": "assistant", "content": self.reply(prompt)}
        usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return 200, {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice],
                     "usage": usage}  # fmt: skip


@contextmanager
def paid_model() -> Iterator[PaidModel]:
    model = PaidModel()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = model.answer(str(body["messages"]))
            raw = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:
            """Tests have nothing to tell on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    model.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
