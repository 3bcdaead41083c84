"""The few calls of the Docker Engine API that the agent needs, over the engine's socket, with the standard library.

Paths carry no version, so the engine answers with its newest: the calls used here have been the same since API 1.24.
"""

from __future__ import annotations

import http.client
import json
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from harness.errors import PeerError

__all__ = ["ENGINE_SOCKET", "EngineApi"]

#: Where the runtime mounts the engine's socket.
ENGINE_SOCKET = "/var/run/docker.sock"
_TIMEOUT_S = 30.0
#: A write to a busy disk takes up to seconds.
_FREEZE_S = 10.0
_PEER_CREDENTIALS = struct.Struct("=iII")  # struct ucred of unix(7): process, user, group


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(self._path)


class EngineApi:
    """One connection a call: a hung call can't block another."""

    def __init__(self, path: str = ENGINE_SOCKET) -> None:
        self._path = path

    def call(self, method: str, path: str, *, fine: Sequence[int] = ()) -> Any:
        """The decoded answer, or None for an empty one. Raises `PeerError` for a status of 400 or more that is not
        in `fine`."""
        connection = _SocketConnection(self._path)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise PeerError(f"the engine did not answer {method} {path}: {error}") from error
        finally:
            connection.close()
        if response.status >= 400:
            if response.status in fine:
                return None
            raise PeerError(f"the engine answered {response.status} to {method} {path}: {body[:300]!r}")
        return json.loads(body) if body.strip() else None

    def pid(self) -> int:
        """Of the process that listens on the engine's socket; 0 if it is in another PID namespace."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self._path)
            found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
        pid: int = _PEER_CREDENTIALS.unpack(found)[0]
        return pid

    def inspect(self, name: str) -> Mapping[str, Any]:
        """A container in full."""
        answer: Mapping[str, Any] = self.call("GET", f"/containers/{quote(name)}/json")
        return answer

    def inspect_if_there(self, name: str) -> Mapping[str, Any] | None:
        """A container in full, or None where there is none."""
        answer: Mapping[str, Any] | None = self.call("GET", f"/containers/{quote(name)}/json", fine=(404,))
        return answer

    def pid_of(self, container_id: str) -> int:
        """Of a container's PID 1, as long as the engine takes it for running; else 0."""
        found = self.inspect_if_there(container_id)
        return int(found["State"]["Pid"]) if found is not None and found["State"]["Running"] else 0

    def start(self, container_id: str) -> None:
        """Start; 304 means that it runs already, 404 that it is gone for good."""
        self.call("POST", f"/containers/{container_id}/start", fine=(304, 404))

    def stop(self, container_id: str, grace_s: int) -> None:
        """Ask to stop and wait until it has; 304 means that it does not run."""
        self.call("POST", f"/containers/{container_id}/stop?t={grace_s}", fine=(304,))

    def restart(self, container_id: str, grace_s: int) -> None:
        """Stop as above, then start; 404 means that it is gone for good."""
        self.call("POST", f"/containers/{container_id}/restart?t={grace_s}", fine=(404,))

    def pause(self, container_id: str) -> None:
        """Freeze; raises `PeerError` if that can't be done within `_FREEZE_S`.

        A process in the middle of a call that can't be interrupted (it waits for a disk) can't be frozen before that
        ends. The engine gives up at once, thaws the others and answers 500; so it is asked again.
        """
        deadline = time.monotonic() + _FREEZE_S
        while True:
            late = time.monotonic() > deadline
            self.call("POST", f"/containers/{container_id}/pause", fine=() if late else (500,))
            if self.inspect(container_id)["State"]["Paused"]:
                return

    def unpause(self, container_id: str) -> None:
        """Thaw; what is not paused, or gone, is fine."""
        found = self.call("GET", f"/containers/{container_id}/json", fine=(404,))
        if found is not None and found["State"]["Paused"]:
            self.call("POST", f"/containers/{container_id}/unpause")

    def list_labelled(self, kind: str, label: str) -> list[Mapping[str, Any]]:
        """Containers (running or not), networks or volumes that bear `label` (`key=value`)."""
        filters = quote(json.dumps({"label": [label]}))
        answer = self.call(
            "GET", f"/{kind}?all=1&filters={filters}" if kind == "containers/json" else f"/{kind}?filters={filters}"
        )
        found = answer["Volumes"] if kind == "volumes" else answer
        return list(found or [])

    def members(self, network_id: str) -> list[str]:
        """The ids of the containers in a network; nobody is in one that has gone."""
        found = self.call("GET", f"/networks/{quote(network_id)}", fine=(404,))
        return list((found or {}).get("Containers") or {})

    def remove(self, kind: str, identifier: str) -> None:
        """Remove a container (killing it, with its anonymous volumes), a network or a volume; gone is fine.

        409 for a container means that its removal is in progress already.
        """
        query = {"containers": "?force=1&v=1", "volumes": "?force=1", "networks": ""}[kind]
        self.call("DELETE", f"/{kind}/{quote(identifier)}{query}", fine=(404, 409) if kind == "containers" else (404,))
