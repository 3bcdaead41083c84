"""The warm parent: imports everything, then accepts and forks. It blocks on nothing else.

No word of a request is read here, no folder touched: storage that does not answer blocks the one session, not the
others. It ends with the supervisor, which starts it again when it dies; its children live on, as init's.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import threading
import time

from session_forker.child import become
from session_forker.processes import PR_SET_NAME, PR_SET_PDEATHSIG, prctl
from session_forker.request import SOCKET

__all__ = ["main"]

#: What servers and kernels import, early or late.
WARM = (
    "jupyterhub.singleuser",
    "jupyter_server.serverapp",
    "jupyter_client.ioloop",
    "jupyter_core.migrate",
    "tornado.platform.asyncio",
    "jinja2.ext",
    "encodings.unicode_escape",
    "psutil",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "ipykernel.debugger",
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "ipykernel.kernelspec",
    "ipykernel.zmqshell",
    "ipykernel_launcher",
    "session_forker.provisioner",
)
#: Connections that wait for a fork; beyond it connect(2) fails.
BACKLOG = 1024
#: After a fork that failed for want of memory or process numbers.
PAUSE_S = 0.1


def warm_up() -> None:
    """Imports, and arranges memory so that the children share as much of it as can be."""
    gc.disable()
    for name in WARM:
        importlib.import_module(name)
    server = importlib.import_module("jupyter_server.serverapp")
    for modules in server.JUPYTER_SERVICE_HANDLERS.values():
        for name in modules or ():
            importlib.import_module(name)
    importlib.import_module("session_forker.provisioner").register()
    gc.collect()
    # a collection in a child looks at its own objects only: to look at the shared ones would copy their pages
    gc.freeze()
    gc.enable()


def listen() -> socket.socket:
    """The socket; whoever had it before is dead, or the supervisor would not have started this process."""
    SOCKET.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(SOCKET))
    listener.listen(BACKLOG)
    return listener


def accept_forever(listener: socket.socket) -> socket.socket:
    """Forks a child for each connection; returns the connection, in the child."""
    while True:
        connection, _ = listener.accept()
        try:
            child = os.fork()
        except OSError as error:
            print(f"sessions: fork failed: {error}", flush=True)
            time.sleep(PAUSE_S)
            child = -1
        if child == 0:
            listener.close()
            return connection
        connection.close()


def main() -> None:
    """Serves until the supervisor ends; in each child, until that session's server or kernel ends."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    prctl(PR_SET_NAME, b"session-forker")
    began = time.monotonic()
    warm_up()
    # the kernel reaps: no zombies, even while this process is stopped
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = listen()
    print(f"sessions: warm after {time.monotonic() - began:.1f} s, {threading.active_count()} thread", flush=True)
    # the child leaves by the same way as any program, so that exit handlers, the users' too, are run
    become(accept_forever(listener))


if __name__ == "__main__":
    main()
