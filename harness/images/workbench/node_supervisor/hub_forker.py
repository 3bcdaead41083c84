"""The parent of hubs: forks one whenever it is told to. A warm one has imported JupyterHub; of a cold one each hub
imports it by itself, which takes as long as the start of a fresh interpreter.

A process of its own with one thread: the supervisor has several, and a fork would inherit their locks.
Protocol on the socket given as file descriptor: `start` in; `pid N` and `exit CODE` out.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback

__all__ = ["main"]

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
#: What a hub imports late, beside itself.
WARM = (
    "jupyterhub.app",
    "jupyterhub.authenticators.shared",
    "jupyterhub.dbutil",
    "alembic.config",
    "alembic.script",
    "alembic.runtime.migration",
    "sqlalchemy.dialects.postgresql.psycopg",
    "node_spawner",
    "node_supervisor.settings",
)
TICK_S = 0.1


def _prctl(option: int, argument: int | bytes) -> None:
    ctypes.CDLL(None).prctl(option, argument)


def _become_hub(config: str) -> None:
    # the hub must not outlive those who know whether it may run
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(PR_SET_NAME, b"jupyterhub")
    os.chdir("/srv/hub")
    sys.argv = ["jupyterhub", "-f", config]
    code = 1
    try:
        from jupyterhub import app

        app.main()
        code = 0
    except SystemExit as end:  # as an interpreter ends: JupyterHub says so that it can't use the database's schema
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if not isinstance(end.code, int | None):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Serves until the supervisor ends."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    config = sys.argv[2]
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(PR_SET_NAME, b"hub-forker")
    for name in WARM if sys.argv[3] == "warm" else ():
        importlib.import_module(name)
    # collected now, never again: a collection in the child would copy every shared page
    gc.collect()
    gc.freeze()
    child = 0
    while True:
        readable, _, _ = select.select([channel], [], [], TICK_S)
        if readable:
            order = channel.recv(64)
            if not order:
                return
            if b"start" in order and not child:
                child = os.fork()
                if not child:
                    channel.close()
                    _become_hub(config)
                channel.sendall(b"pid %d\n" % child)
        if child:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                child = 0
                channel.sendall(b"exit %d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
