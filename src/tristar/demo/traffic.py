"""Simulated clients: a few applications with keys of their own, each with its habits."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import httpx

PATIENCE_S: Final = 90.0

_QUESTIONS: Final = (
    "How does a circuit breaker know when to close again?",
    "Summarise yesterday's incidents in three lines.",
    "What is a p95, and why is a mean not enough?",
    "Write a release note for a faster gateway.",
)
_FACTS: Final = (
    "Deployments happen on Tuesdays.",
    "The staging database is rebuilt every night.",
    "Customer tickets are answered in the customer's language.",
    "The on-call engineer is told about open breakers only.",
    "Prices are reviewed on the first of the month.",
)

KEYS: Final[dict[str, dict[str, Any]]] = {
    "webshop": {"scopes": ["chat"]},
    "support-desk": {"scopes": ["chat", "memory:read", "memory:write"]},
    "batch": {"scopes": ["chat"], "requests_per_minute": 20},
    "intern": {"scopes": ["chat"], "budget_usd_per_day": 0.002},
}
"""The applications, and what their keys may do: `batch` runs into its rate, `intern` into its budget."""


class Clients:
    """Everybody who calls the gateway, each with a key of the gateway's own making."""

    def __init__(self, url: str, admin_key: str, random: Random) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=PATIENCE_S, trust_env=False)
        self._keys = {"operator": admin_key}
        self._random = random
        self.answers: Counter[int] = Counter()
        """How many requests were answered with which status."""
        self._facts = 0

    async def introduce(self) -> None:
        """Make the applications' keys, and the first entries of the memory."""
        for name, rights in KEYS.items():
            made = await self.send("operator", "POST", "/admin/keys", {"name": f"simulated {name}", **rights})
            self._keys[name] = str(made["key"])
        for _ in range(3):
            await self.remember()

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def send(self, who: str, method: str, path: str, body: object = None) -> dict[str, Any]:
        """One request with this application's key; what came back, empty if it was not JSON."""
        key = self._keys.get(who, who)
        answer = await self._http.request(method, path, json=body, headers={"authorization": f"Bearer {key}"})
        self.answers[answer.status_code] += 1
        with contextlib.suppress(ValueError):
            found = answer.json()
            return found if isinstance(found, dict) else {}
        return {}

    async def chat(self, who: str, llm: str, path: str = "/v1/chat/completions") -> None:
        """One question, answered whole."""
        await self.send(who, "POST", path, self._question(llm))

    async def stream(self, who: str, llm: str, *, leave_after: int | None = None) -> None:
        """One question, streamed; a client that leaves does so after that many lines."""
        body = self._question(llm) | {"stream": True}
        headers = {"authorization": f"Bearer {self._keys[who]}"}
        async with self._http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
            lines = 0
            async for line in answer.aiter_lines():
                lines += bool(line)
                if leave_after is not None and lines >= leave_after:
                    break
            self.answers[answer.status_code] += 1

    async def embed(self, who: str) -> None:
        """Two texts as vectors."""
        texts = [self._random.choice(_QUESTIONS), self._random.choice(_FACTS)]
        await self.send(who, "POST", "/v1/embeddings", {"model": "embedder", "input": texts})

    async def message(self) -> None:
        """A question on Anthropic's surface."""
        body = self._question("fast") | {"max_tokens": 200}
        await self.send("support-desk", "POST", "/v1/messages", body)

    async def respond(self) -> None:
        """A question on OpenAI's Responses surface."""
        body = {"model": "fast", "input": self._random.choice(_QUESTIONS)}
        await self.send("webshop", "POST", "/v1/responses", body)

    async def remember(self) -> None:
        """One more entry in the shared memory."""
        fact = _FACTS[self._facts % len(_FACTS)]
        self._facts += 1
        body = {"content": f"{fact} (simulated, number {self._facts})"}
        await self.send("support-desk", "POST", "/v1/memory", body)

    async def recall(self) -> None:
        """A search in the shared memory, and the same memory over MCP."""
        await self.send("support-desk", "GET", "/v1/memory/search?q=deployments")
        ping = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        await self.send("support-desk", "POST", "/mcp", ping)

    async def blunder(self) -> None:
        """What goes wrong on the clients' side: an unknown model, a wrong key, half a body."""
        await self.chat("webshop", "no-such-model")
        await self.chat("not-a-key-at-all", "fast")
        await self.send("webshop", "POST", "/v1/chat/completions", {"model": "fast"})

    async def borrow(self) -> None:
        """A key for one errand, revoked when that is done."""
        made = await self.send(
            "operator", "POST", "/admin/keys", {"name": "simulated visitor", "scopes": ["chat"]}
        )
        if "key" in made:
            await self.send(made["key"], "GET", "/v1/models")
            await self.send("operator", "DELETE", f"/admin/keys/{made['id']}")

    async def inspect(self) -> None:
        """An operator looks after things."""
        await self.send("operator", "GET", "/admin/breakers")
        await self.send("operator", "POST", "/admin/audit/verify", {})
        await self.send("operator", "GET", "/health/ready")
        await self.send("webshop", "GET", "/v1/models")

    def _question(self, llm: str) -> dict[str, Any]:
        text = self._random.choice(_QUESTIONS)
        return {"model": llm, "messages": [{"role": "user", "content": text}]}


@dataclass(frozen=True)
class Habit:
    """What one client does, and how long it waits between two times, on average."""

    every_s: float
    act: Callable[[], Awaitable[None]]


def habits(clients: Clients) -> Sequence[Habit]:
    """What goes on at the same time, about a dozen requests a second in all."""
    return (
        Habit(0.4, lambda: clients.chat("webshop", "fast")),
        Habit(0.8, lambda: clients.chat("webshop", "fast", "/v1/chat")),
        Habit(0.5, lambda: clients.stream("support-desk", "smart")),
        Habit(0.7, lambda: clients.chat("webshop", "smart")),
        Habit(0.8, lambda: clients.chat("support-desk", "lonely")),
        Habit(0.4, lambda: clients.chat("webshop", "gusty")),
        Habit(0.6, lambda: clients.stream("webshop", "gusty")),
        Habit(0.8, lambda: clients.stream("support-desk", "writer")),
        *[Habit(1.0, lambda: clients.stream("webshop", "thinker"))] * 3,
        Habit(1.0, lambda: clients.embed("webshop")),
        Habit(1.0, lambda: clients.chat("batch", "fast")),
        Habit(2.0, lambda: clients.chat("intern", "smart")),
        Habit(4.0, lambda: clients.stream("webshop", "fast", leave_after=5)),
        Habit(2.0, clients.message),
        Habit(2.0, clients.respond),
        Habit(8.0, clients.remember),
        Habit(3.0, clients.recall),
        Habit(5.0, clients.blunder),
        Habit(15.0, clients.borrow),
        Habit(5.0, clients.inspect),
    )


async def keep(habit: Habit, random: Random) -> None:
    """Do it again and again, until cancelled; what the gateway refuses does not stop a client."""
    while True:
        with contextlib.suppress(httpx.HTTPError):
            await habit.act()
        await asyncio.sleep(random.expovariate(1 / habit.every_s))
