"""Single-user servers as processes of one node, told apart from those of another node or another life."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyterhub.spawner import (  # type: ignore[import-untyped, import-not-found, unused-ignore]
    SimpleLocalProcessSpawner,
)
from traitlets import Integer, Unicode

__all__ = ["NodeLocalSpawner", "start_ticks"]


def start_ticks(pid: int) -> int:
    """Start of the process in clock ticks since boot (proc(5), field 22); 0 when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # the name, field 2, may hold spaces and brackets: count from the last one
    return int(stat.rpartition(")")[2].split()[19])


class NodeLocalSpawner(SimpleLocalProcessSpawner):  # type: ignore[misc, unused-ignore]
    """Remembers node and start time beside the process number.

    The hub database outlives the node that wrote it. A bare number would make the hub of the other node, or
    of this node after a restart, take some unrelated process for a living server, and later kill it.
    """

    node_name = Unicode(config=True, help="The node whose processes these are.")
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
        address: tuple[str, int] = await super().start()
        self.owner = self.node_name
        self.started_ticks = start_ticks(self.pid)
        return address

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
