"""Mount, serve until told to stop, unmount. Exit codes as mount(8): 0 unmounted, 1 usage, 32 not mounted."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pyfuse3
import trio

from .filesystem import Filesystem
from .nfs3 import Nfs3Client, mount
from .options import HELP, MountRequest, UsageError, parse_arguments
from .protocol import MOUNT_PROGRAM, NFS_PROGRAM, PROGRAM_VERSION
from .rpc import RpcClient
from .rpc_message import ROOT, NfsError
from .xdr import XdrError

EXIT_OK = 0
EXIT_USAGE = 1
EXIT_NOT_MOUNTED = 32

#: For calls that are under way, and then for what is not committed yet; less where these are done earlier.
STOP_GRACE_S = 2.0
"""For requests under way and uncommitted data when told to stop; a lost server must not hold it up."""

WORKERS_MAX = 64
"""Requests answered at the same time; the others wait in the kernel."""


class MountFailedError(Exception):
    """Why there is no mount."""


def log(message: str) -> None:
    """One line on stderr, with seconds since 1970."""
    print(f"{time.time():.3f} nfsfuse: {message}", file=sys.stderr, flush=True)


def _client(request: MountRequest, program: int, port: int) -> RpcClient:
    return RpcClient(request, program, PROGRAM_VERSION, port, log)


async def _fetch_root(request: MountRequest) -> bytes:
    async with trio.open_nursery() as nursery:
        transport = _client(request, MOUNT_PROGRAM, request.mountport)
        nursery.start_soon(transport.run)
        root = await mount(transport, request.export)
        nursery.cancel_scope.cancel()
    return root


async def _handshake(request: MountRequest, nfs: Nfs3Client) -> tuple[bytes, Filesystem]:
    with trio.move_on_after(request.mounttimeo_s):
        try:
            root = await _fetch_root(request)
            limits = await nfs.fsinfo(root, ROOT)
        except (NfsError, XdrError) as error:
            raise MountFailedError(f"{request.source}: the server did not grant the mount: {error}") from error
        return root, Filesystem(nfs, root, limits, ac_s=request.ac_s, log=log)
    ports = f"{request.mountport} and {request.port}"
    raise MountFailedError(f"{request.source}: no answer on ports {ports} within {request.mounttimeo_s:g} s")


async def _stop_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log(f"{signal.Signals(number).name}: unmounting")
            pyfuse3.terminate()
            await trio.sleep(STOP_GRACE_S)
            scope.cancel()


async def _serve(request: MountRequest) -> None:
    async with trio.open_nursery() as nursery:
        transport = _client(request, NFS_PROGRAM, request.port)
        nursery.start_soon(transport.run)
        _root, filesystem = await _handshake(request, Nfs3Client(transport))
        options = set(pyfuse3.default_options)
        options |= {f"fsname={request.source}", "subtype=nfsfuse", "allow_other", "default_permissions"}
        try:
            pyfuse3.init(filesystem, request.mountpoint, options)
        except RuntimeError as error:
            hint = "FUSE needs /dev/fuse and the capability SYS_ADMIN"
            raise MountFailedError(f"{request.mountpoint}: {error}; {hint}") from error
        log(f"mounted {request.source} on {request.mountpoint} ({'hard' if request.hard else 'soft'})")
        try:
            with trio.CancelScope() as scope:
                nursery.start_soon(_stop_on_signal, scope)
                await pyfuse3.main(max_tasks=WORKERS_MAX)
            with trio.move_on_after(STOP_GRACE_S):
                await filesystem.commit_all()
        finally:
            pyfuse3.close(unmount=True)
        log(f"unmounted {request.mountpoint}")
        nursery.cancel_scope.cancel()


def main(arguments: list[str]) -> int:
    """Exit code."""
    if {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return EXIT_OK
    try:
        request = parse_arguments(arguments)
        if not Path(request.mountpoint).is_dir():
            raise UsageError(f"mount point {request.mountpoint}: expected an existing directory")
    except UsageError as error:
        print(f"nfsfuse: {error}", file=sys.stderr)
        return EXIT_USAGE
    try:
        trio.run(_serve, request)
    except MountFailedError as error:
        print(f"nfsfuse: {error}", file=sys.stderr)
        return EXIT_NOT_MOUNTED
    except KeyboardInterrupt:
        pass
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
