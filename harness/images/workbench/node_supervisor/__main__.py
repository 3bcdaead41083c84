"""The supervisor: looks, decides (machine.py), acts; ten times a second."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from node_supervisor.hub import HubProcess, HubWatch
from node_supervisor.lease import LeaseKeeper
from node_supervisor.load import serve_load
from node_supervisor.log import log
from node_supervisor.machine import Action, Decision, Lease, Observation, Phase, decide
from node_supervisor.peers import PeerWatch
from node_supervisor.processes import DatabaseProxy, Kept, Proxy, SessionForker, end_sessions
from node_supervisor.settings import Mode, SessionStart, Settings, SettingsError
from node_supervisor.snapshots import COPY, Snapshots
from node_supervisor.status import STALL_NS, Board, Snapshot, serve
from node_supervisor.tenure import OwnTenure

STATE = Path("/run/node")
HUB_CONFIG = Path("/opt/node/jupyterhub_config.py")
TICK_S = 0.1
#: A database that has not answered for this long is taken for one that does not; six of the looks at it.
DATABASE_SILENT_NS = 3_000_000_000


class Supervisor:
    """The processes of a node and its phase."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._board = Board(settings.node_name)
        self._hub = HubProcess(
            HUB_CONFIG,
            STATE / "hub.pid",
            supervised=settings.supervised,
            warm=settings.hub_start is SessionStart.PREWARMED,
        )
        self._proxy = Proxy(settings, STATE / "proxy.pid")
        prewarmed = settings.session_start is SessionStart.PREWARMED
        self._session_forker = SessionForker(settings, STATE / "session-forker.pid") if prewarmed else None
        self._database_proxy: Kept | None = None
        if DatabaseProxy.CONFIG.exists():
            self._database_proxy = DatabaseProxy(settings, STATE / "database-proxy.pid")
        # threads only after the forker exists: they have nothing it could inherit
        self._watch = HubWatch(settings)
        self._lease: LeaseKeeper | OwnTenure = (
            LeaseKeeper(settings) if settings.mode is Mode.ACTIVE_PASSIVE else OwnTenure(settings)
        )
        self._peers = PeerWatch(settings.peers, settings.status_port)
        self._snapshots = (Snapshots(settings.snapshot_every_s), Snapshots(settings.copy_every_s, COPY))
        self._phase = Phase.STANDBY
        self._since_ns: int | None = None
        self._looked_ns = time.monotonic_ns()
        self._frozen_until_ns = 0

    def run(self) -> None:
        """Goes on until the process is told to end."""
        serve(self._board, self._settings.status_port)
        serve_load(self._settings.load_port)
        self._watch.start()
        self._lease.start()
        self._peers.start()
        while True:
            self._step()
            time.sleep(TICK_S)

    def _step(self) -> None:
        seen = self._look()
        decision = decide(self._phase, seen, self._settings.hub_grace_s)
        self._show(decision)  # before the deeds: a node that fences itself must already have said that it is not active
        for action in decision.actions:
            self._act(action, seen)
        self._phase = decision.phase
        for snapshots in self._snapshots:
            snapshots.keep(seen.now_ns, active=decision.phase is Phase.ACTIVE)
        self._lease.wanted = decision.wanted

    def _look(self) -> Observation:
        now = time.monotonic_ns()
        if now - self._looked_ns > STALL_NS:
            log("supervisor", f"frozen for {(now - self._looked_ns) / 1e9:.1f} s, looking at the lease first")
            self._frozen_until_ns = now
        self._looked_ns = now
        self._hub.poll()
        if self._proxy.keep():
            self._watch.routes_lost.set()
        for kept in (self._session_forker, self._database_proxy):
            if kept is not None:
                kept.keep()
        return Observation(
            now_ns=now,
            lease=self._lease_as_peers_see_it(),
            homes_ready=(STATE / "homes-mounted").exists(),
            proxy_alive=self._proxy.alive,
            hub_alive=self._hub.alive,
            hub_answered_ns=self._watch.answered_ns,
            stalled=self._lease.held_ns < self._frozen_until_ns,
        )

    def _lease_as_peers_see_it(self) -> Lease:
        """The lease is gone when another node says that it is active, also where the database can't be asked."""
        view = self._lease.view
        self._peers.ask(view is Lease.CONTACT_LOST)
        if view is Lease.CONTACT_LOST and (peer := self._peers.active):
            log("lease", f"the database can't be asked, and {peer} says that it is active")
            return Lease.TAKEN_AWAY
        return view

    def _show(self, decision: Decision) -> None:
        if decision.phase is not self._phase:
            log("supervisor", f"{self._phase.value} -> {decision.phase.value}")
        if decision.phase is not Phase.ACTIVE:
            self._since_ns = None
        elif self._since_ns is None:
            self._since_ns = time.monotonic_ns()
        self._board.latest = Snapshot(
            looked_ns=self._looked_ns,
            phase=decision.phase.value,
            serving=decision.serving,
            log_in=self._looked_ns - self._lease.database_answered_ns < DATABASE_SILENT_NS,
            ready=decision.ready,
            reason=decision.reason,
            since_ns=self._since_ns,
        )

    def _act(self, action: Action, seen: Observation) -> None:
        match action:
            case Action.START_HUB:
                if self._phase is Phase.STANDBY:
                    self._watch.new_tenure()
                self._hub.start()
            case Action.FENCE:
                self._hub.kill()
                # first who could start sessions, then the sessions
                if self._session_forker is not None:
                    self._session_forker.kill()
                ended = end_sessions()
                self._proxy.kill()
                self._lease.give_up()
                # the deeds took their time; that was no freeze
                self._looked_ns = time.monotonic_ns()
                log(
                    "fence",
                    f"{ended} processes of sessions ended, {(self._looked_ns - seen.now_ns) / 1e6:.0f} ms",
                )


def _end(number: int, _frame: FrameType | None) -> None:
    log("supervisor", f"told to end by signal {number}")
    raise SystemExit(0)


def main() -> int:
    """Entry point: 64 when the environment is wrong."""
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        print(f"configuration: {error}", file=sys.stderr)
        return 64
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    (STATE / "supervisor.pid").write_text(f"{os.getpid()}\n", encoding="ascii")
    Supervisor(settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
