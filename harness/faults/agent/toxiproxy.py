"""Toxiproxy's API, by its Python client, from inside the network namespace of the Toxiproxy's container.

The client's own weaknesses are made up for here: it waits for ever (each call gets a time limit), it takes an answer
that begins with 5 for a success (that raises), and what it believes to have done is read back by whoever uses this.
Its server is a class attribute, 127.0.0.1:8474, which is right in every such namespace.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, TypeVar

from harness.errors import PeerError
from harness.faults.agent.namespaces import in_network_of
from harness.faults.host.traffic import Proxy, Toxic

__all__ = ["RealToxiproxies"]

T = TypeVar("T")
#: An answer takes 1 ms; to take a toxic away from a connection that is stuck may take the server longer.
_ANSWER_TIMEOUT_S = 3.0
_SERVER_ERRORS = 500


class RealToxiproxies:
    """The part of `harness.faults.host.traffic.Traffic` that is about toxics."""

    def proxies(self, pid: int) -> list[Proxy]:
        return self._ask(pid, lambda server: [_proxy(found) for found in server.proxies().values()])

    def add_toxic(self, pid: int, proxy: str, toxic: Toxic) -> None:
        from toxiproxy.exceptions import ProxyExists  # noqa: PLC0415 - see _client

        def add(_server: Any) -> None:
            with suppress(ProxyExists):  # the client's word for any 409: a toxic of that name is there
                _named(proxy).add_toxic(
                    name=toxic.name, type=toxic.type, stream=toxic.stream, attributes=dict(toxic.attributes)
                )

        self._ask(pid, add)

    def remove_toxic(self, pid: int, proxy: str, name: str) -> None:
        from toxiproxy.exceptions import NotFound  # noqa: PLC0415 - see _client

        def remove(_server: Any) -> None:
            with suppress(NotFound):
                _named(proxy).destroy_toxic(name)

        self._ask(pid, remove)

    def _ask(self, pid: int, action: Callable[[Any], T]) -> T:
        """Raises `PeerError` where the server does not answer in time, or says that it failed."""
        import requests  # noqa: PLC0415 - see _client
        from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists  # noqa: PLC0415 - see _client

        server = _client()
        try:
            return in_network_of(pid, lambda: action(server))
        except (requests.RequestException, InvalidToxic, NotFound, ProxyExists, json.JSONDecodeError) as error:
            raise PeerError(f"the Toxiproxy of process {pid}: {error}") from error


def _client() -> Any:
    """Imported when the first fault needs it: it brings packages that the rest of the agent can do without."""
    from toxiproxy import Toxiproxy, api  # noqa: PLC0415 - as said above

    # the module's own way to the network, with a time limit; never a pooled connection: 127.0.0.1 is another
    # Toxiproxy in the next namespace
    api.requests = SimpleNamespace(get=_limited("GET"), post=_limited("POST"), delete=_limited("DELETE"))
    return Toxiproxy()


def _limited(method: str) -> Callable[..., Any]:
    import requests  # noqa: PLC0415 - see _client

    def call(url: str, **rest: Any) -> Any:
        with requests.Session() as session:
            session.trust_env = False  # no proxy of the engine's host lies between
            answer = session.request(method, url, timeout=_ANSWER_TIMEOUT_S, **rest)
        if answer.status_code >= _SERVER_ERRORS:
            answer.raise_for_status()
        return answer

    return call


def _named(proxy: str) -> Any:
    """A proxy by its name alone, which is all that is needed to change its toxics: to ask for it first takes as long
    as the change itself."""
    from toxiproxy import Proxy as ClientsProxy  # noqa: PLC0415 - see _client

    return ClientsProxy(name=proxy, upstream="", listen="", enabled=True)


def _proxy(found: Any) -> Proxy:
    address, _, service = found.upstream.rpartition(":")
    toxics = tuple(
        Toxic(name=toxic.name, type=toxic.type, stream=toxic.stream, attributes=toxic.attributes)
        for toxic in found.toxics().values()
    )
    return Proxy(
        name=found.name,
        port=int(found.listen.rpartition(":")[2]),
        address=address,
        service=int(service),
        toxics=toxics,
    )
