"""One RPC client over TCP that outlives its server: unanswered calls are sent again on a fresh connection."""

from __future__ import annotations

import errno
import os
import random
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from .nfs3 import Reply
from .options import MountRequest
from .rpc_message import Credential, NfsError, RecordAssembler, decode_reply, encode_call
from .xdr import XdrError, XdrReader

__all__ = ["RpcClient"]

CONNECT_TIMEOUT_S = 2.0
"""For one attempt, name lookup included: several fit into the time in which a server restarts."""

RECONNECT_DELAYS_S = (0.05, 1.0)
"""First and largest pause between attempts; it doubles from one to the other."""

SOFT_CHECK_S = 0.25
"""How often soft calls are checked against their deadline."""

KEEPALIVE_INTERVAL_S = 1
KEEPALIVE_PROBES_S = 3
"""Of the `dead` seconds, those that pass in probing an idle connection."""

RECEIVE_BYTES = 1 << 20
XID_BITS = 32

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, zero seconds


@dataclass(slots=True, eq=False)
class _Call:
    xid: int
    message: bytes
    started_s: float
    answered: trio.Event = field(default_factory=trio.Event)
    record: bytes | None = None
    connection: _Connection | None = None
    sent_s: float = 0.0
    transmissions: int = 0


@dataclass(slots=True, eq=False)
class _Connection:
    stream: trio.SocketStream
    sending: trio.Lock = field(default_factory=trio.Lock)
    lost: trio.Event = field(default_factory=trio.Event)


class RpcClient:
    """Calls to one program of one server; `run` must be running in the background."""

    def __init__(
        self, request: MountRequest, program: int, version: int, port: int, log: Callable[[str], None]
    ) -> None:
        self._request, self._program, self._version, self._port, self._log = (
            request,
            program,
            version,
            port,
            log,
        )
        self._machine = os.uname().nodename.encode()
        self._xid = random.getrandbits(XID_BITS)
        self._pending: dict[int, _Call] = {}
        self._connection: _Connection | None = None
        self._local_port = 0

    async def call(self, procedure: int, arguments: bytes, credential: Credential) -> Reply:
        """The answer, however long it takes; raises `NfsError` EIO when a soft call had none in time."""
        self._xid = (self._xid + 1) % (1 << XID_BITS)
        message = encode_call(
            xid=self._xid,
            program=self._program,
            version=self._version,
            procedure=procedure,
            machine=self._machine,
            credential=credential,
            arguments=arguments,
        )
        call = _Call(self._xid, message, trio.current_time())
        self._pending[call.xid] = call
        try:
            if self._connection is not None:
                await self._send(self._connection, call)
            await call.answered.wait()
        finally:
            self._pending.pop(call.xid, None)
        if call.record is None:
            raise NfsError(errno.EIO, f"no answer within {self._request.timeo_s * self._request.retrans:g} s")
        return Reply(decode_reply(call.record), retransmitted=call.transmissions > 1)

    async def sleep(self, seconds: float) -> None:
        """Wait, before asking again what the server was not ready for."""
        await trio.sleep(seconds)

    async def run(self) -> None:
        """Keep a connection and the unanswered calls on it, until cancelled."""
        async with trio.open_nursery() as nursery:
            if not self._request.hard:
                nursery.start_soon(self._expire_soft_calls)
            delay_s, longest_s = RECONNECT_DELAYS_S
            while True:
                try:
                    with trio.fail_after(CONNECT_TIMEOUT_S):
                        connection = _Connection(await self._connect())
                except (OSError, trio.TooSlowError):
                    await trio.sleep(delay_s)
                    delay_s = min(longest_s, 2 * delay_s)
                    continue
                delay_s = RECONNECT_DELAYS_S[0]
                await self._serve(connection)

    async def _serve(self, connection: _Connection) -> None:
        self._connection = connection
        self._log(f"connected to {self._request.host}:{self._port}, sending {len(self._pending)} unanswered calls")
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._receive, connection)
                nursery.start_soon(self._watch, connection)
                for call in list(self._pending.values()):
                    nursery.start_soon(self._send, connection, call)
                await connection.lost.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._connection = None
            await trio.aclose_forcefully(connection.stream)
        self._log(f"connection to {self._request.host}:{self._port} lost, {len(self._pending)} calls unanswered")

    async def _connect(self) -> trio.SocketStream:
        # The name is resolved each time: a standby may have taken it over.
        found = await trio.socket.getaddrinfo(self._request.host, self._port, type=socket.SOCK_STREAM)
        family, kind, protocol, _name, address = found[0]
        sock = trio.socket.socket(family, kind, protocol)
        try:
            dead_s = self._request.dead_s
            # Closing resets: a server that was away drops what it has not read yet, and so cannot carry out
            # an old write after its repetition.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, int(dead_s) - KEEPALIVE_PROBES_S))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(dead_s * 1000))
            if self._local_port:
                # The server's cache of duplicate requests knows a client by its address and port.
                try:
                    await sock.bind(("", self._local_port))
                except OSError:
                    self._local_port = 0
            await sock.connect(address)
        except BaseException:
            sock.close()
            raise
        self._local_port = sock.getsockname()[1]
        return trio.SocketStream(sock)

    async def _send(self, connection: _Connection, call: _Call) -> None:
        async with connection.sending:
            if connection.lost.is_set() or call.connection is connection or call.xid not in self._pending:
                return
            call.connection, call.sent_s = connection, trio.current_time()
            call.transmissions += 1
            try:
                await connection.stream.send_all(call.message)
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                connection.lost.set()
            except trio.Cancelled:
                # Interrupted in the middle of a record: nothing sensible can follow on this stream.
                connection.lost.set()
                raise

    async def _receive(self, connection: _Connection) -> None:
        assembler = RecordAssembler()
        try:
            while data := await connection.stream.receive_some(RECEIVE_BYTES):
                for record in assembler.feed(data):
                    call = self._pending.pop(XdrReader(record).u32(), None)
                    if call is not None:
                        call.record = record
                        call.answered.set()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError, XdrError) as error:
            self._log(f"connection to {self._request.host}:{self._port}: {error}")
        connection.lost.set()

    async def _watch(self, connection: _Connection) -> None:
        """Give the connection up when a call has had no answer on it for `timeo`."""
        timeo_s = self._request.timeo_s
        while True:
            await trio.sleep(timeo_s / 4)
            oldest_s = min((c.sent_s for c in self._pending.values() if c.connection is connection), default=None)
            if oldest_s is not None and trio.current_time() - oldest_s >= timeo_s:
                self._log(f"no answer from {self._request.host}:{self._port} for {timeo_s:g} s")
                connection.lost.set()

    async def _expire_soft_calls(self) -> None:
        limit_s = self._request.timeo_s * self._request.retrans
        while True:
            await trio.sleep(SOFT_CHECK_S)
            now_s = trio.current_time()
            for call in [c for c in self._pending.values() if now_s - c.started_s >= limit_s]:
                del self._pending[call.xid]
                call.answered.set()
