"""Single-user servers as processes of one node, told apart from those of another node or another life."""

from __future__ import annotations

from typing import Any

from jupyterhub.spawner import SimpleLocalProcessSpawner
from jupyterhub.utils import random_port
from session_forker.processes import start_ticks
from session_forker.request import Request, fork
from traitlets import Enum, Integer, Unicode

__all__ = ["NodeLocalSpawner"]


class NodeLocalSpawner(SimpleLocalProcessSpawner):
    """Remembers node and start time beside the process number.

    The hub database outlives the node that wrote it. A bare number would make the hub of the other node, or
    of this node after a restart, take some unrelated process for a living server, and later kill it.
    """

    pid: int
    port: int

    node_name = Unicode(config=True, help="The node whose processes these are.")
    session_start = Enum(
        ("cold", "prewarmed"),
        config=True,
        help="cold: a new interpreter for each server. prewarmed: forked from the node's warm parent.",
    )
    owner = Unicode(help="The node that started the server.")
    started_ticks = Integer(0, help="Start of the server's process, clock ticks since boot.")

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.owner = state.get("node", "")
        self.started_ticks = state.get("started_ticks", 0)

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()
        if self.pid:
            state |= {"node": self.owner, "started_ticks": self.started_ticks}
        return state

    def clear_state(self) -> None:
        super().clear_state()
        self.owner = ""
        self.started_ticks = 0

    async def start(self) -> tuple[str, int]:
        if self.session_start == "prewarmed":
            return await self._fork()
        address: tuple[str, int] = await super().start()
        self.owner = self.node_name
        self.started_ticks = start_ticks(self.pid)
        return address

    async def _fork(self) -> tuple[str, int]:
        """Waits for the warm parent where there is none: the hub itself ends the wait after start_timeout."""
        if self.port == 0:
            self.port = random_port()
        request = Request(
            kind="server",
            arguments=[*self.cmd, *self.get_args()],
            environment=self.get_env(),
            folder=self.home_dir,
        )
        forked = await fork(request, self.start_timeout)
        self.proc = None  # no child of the hub's: it is watched by number and start time, as after a hub's restart
        self.pid = forked.pid
        self.started_ticks = forked.started_ticks
        self.owner = self.node_name
        return self.ip or "127.0.0.1", self.port

    async def poll(self) -> int | None:
        """None while the process that was started lives on this node; else its exit code, 0 if unknown."""
        if self.proc is None and not self._is_own_process():
            self.clear_state()
            return 0
        status: int | None = await super().poll()
        return status

    async def _signal(self, sig: int) -> bool:
        """Never signals a process that merely bears the number."""
        if not self._is_own_process():
            return False
        alive: bool = await super()._signal(sig)
        return alive

    def _is_own_process(self) -> bool:
        return bool(self.pid and self.owner == self.node_name and start_ticks(self.pid) == self.started_ticks != 0)
