"""The operator's HTTP endpoints: /healthz and /readyz for Kubernetes, /metrics for Prometheus."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from fleet import errors

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen at."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Listen":
        """
        Read ``host:port``; the host may be left out.

        :raises errors.InvalidConfig: it isn't one.
        """
        host, _, port = text.rpartition(":")
        if not port.isdigit():
            raise errors.InvalidConfig(f"{text!r} is not host:port", element=text)
        return cls(host.strip("[]"), int(port))


@dataclass(frozen=True, slots=True)
class Answers:
    """
    What the endpoints say.

    *unhealthy* is why the process should be started anew, *unready* what is missing; empty when
    all is well.
    """

    unhealthy: Callable[[], str]
    unready: Callable[[], str]
    metrics: Callable[[], bytes]


@asynccontextmanager
async def serving(
    health: Listen | None, metrics: Listen | None, answers: Answers
) -> AsyncIterator[None]:
    """Serve until the block ends. Both may be the same address."""
    async with AsyncExitStack() as stack:
        for address in {address for address in (health, metrics) if address}:
            await stack.enter_async_context(_site(address, health, metrics, answers))
        yield


@asynccontextmanager
async def _site(
    address: Listen, health: Listen | None, metrics: Listen | None, answers: Answers
) -> AsyncIterator[None]:
    app = web.Application()
    if address == health:
        app.add_routes(
            [
                web.get("/healthz", _probe(answers.unhealthy)),
                web.get("/readyz", _probe(answers.unready)),
            ]
        )
    if address == metrics:
        app.add_routes([web.get("/metrics", _metrics(answers))])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host or None, address.port).start()
        yield
    finally:
        await runner.cleanup()


def _probe(wrong: Callable[[], str]) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        missing = wrong()
        return web.Response(text=f"{missing or 'ok'}\n", status=503 if missing else 200)

    return answer


def _metrics(answers: Answers) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=answers.metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return answer
