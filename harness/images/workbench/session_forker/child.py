"""What a freshly forked child does until it is a single-user server or a kernel."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from session_forker.processes import PR_SET_NAME, prctl, rewrite, start_ticks
from session_forker.request import LAUNCHER, MARK, Request, has_ended

__all__ = ["become"]

#: Who asks sends the request at once; a child that waits longer for it serves nobody.
REQUEST_S = 5.0


def become(connection: socket.socket) -> None:
    """Reads the request, answers, and is a server or a kernel until that ends. Raises SystemExit with its code."""
    # a session of its own before anybody knows the number: a kernel is signalled by its process group
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection:
        connection.settimeout(REQUEST_S)
        request = Request.decoded(connection.makefile("rb").readline())
        pid = os.getpid()
        # fails where nobody waits any more: a session that no one knows of must not exist
        connection.sendall(json.dumps({"pid": pid, "started_ticks": start_ticks(pid)}).encode() + b"\n")
    _take_environment(request)
    if request.lives_with is not None:
        _end_with(*request.lives_with)
    Path(request.folder).mkdir(mode=0o755, parents=True, exist_ok=True)
    os.chdir(request.folder)
    if request.kind == "server":
        _serve(request)
    else:
        _run_kernel(request)


def _take_environment(request: Request) -> None:
    os.environ.clear()
    os.environ.update(request.environment)
    time.tzset()
    rewrite(request.arguments, request.environment, first=MARK)
    # the warm parent's own code is no business of the session's
    sys.path[:] = [entry for entry in sys.path if entry != str(Path(__file__).parents[1])]
    sys.orig_argv = list(request.arguments)


def _end_with(pid: int, started_ticks: int) -> None:
    """Ends this process when the given one ends.

    ipykernel's own watch (JPY_PARENT_PID) compares parents. A forked kernel's parent is the fork server, with whose
    death it must not die.
    """
    try:
        other = os.pidfd_open(pid)
    except ProcessLookupError:
        os._exit(1)
    if start_ticks(pid) != started_ticks:
        os._exit(1)

    def watch() -> None:
        has_ended(other, None)
        os._exit(1)

    threading.Thread(target=watch, name="server-watch", daemon=True).start()


def _serve(request: Request) -> None:
    prctl(PR_SET_NAME, b"jupyterhub-sing")  # as an exec of the script would, cut to the kernel's 15 characters
    sys.argv = list(request.arguments)
    from jupyterhub.singleuser import main

    # jupyterhub and jupyter_client read the first two from the environment when they are imported: the warm parent's
    main(
        [
            *request.arguments[1:],
            f"--HubAuth.base_url={request.environment.get(MARK, '/')}",
            _user_name(request),
            "--KernelProvisionerFactory.default_provisioner_name=forked-provisioner",
        ]
    )


def _run_kernel(request: Request) -> None:
    prctl(PR_SET_NAME, b"ipykernel")
    import ipykernel_launcher
    from ipykernel import kernelapp

    # the kernel's own arguments follow the launcher's name
    own = list(request.arguments)[list(request.arguments).index(LAUNCHER) + 1 :]
    sys.argv = [str(ipykernel_launcher.__file__), *own]
    kernelapp.launch_new_instance([*own, _user_name(request)])


def _user_name(request: Request) -> str:
    return f"--Session.username={request.environment.get('USER', 'username')}"
