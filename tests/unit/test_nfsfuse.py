"""The NFS client's parts that need neither FUSE nor a server."""

from __future__ import annotations

import errno
import importlib
import struct
import sys
from collections.abc import Coroutine
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

PARENT = Path(__file__).parents[2] / "harness" / "images" / "workbench"
MODULES = ("xdr", "rpc_message", "protocol", "options", "writeback", "nodes", "nfs3", "filedata")


def _load() -> dict[str, Any]:
    sys.path.insert(0, str(PARENT))
    try:
        return {name: importlib.import_module(f"nfsfuse.{name}") for name in MODULES}
    finally:
        sys.path.remove(str(PARENT))


loaded = _load()
xdr, rpc_message, protocol, options = (loaded[name] for name in MODULES[:4])
writeback, nodes, nfs3, filedata = (loaded[name] for name in MODULES[4:])

OLD, NEW = b"verifier", b"VERIFIER"
SOMEBODY = rpc_message.Credential(1000, 1000, (100,))


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Drive a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the coroutine waits for something")


class Script:
    """A transport that answers from a list, and keeps what it was asked."""

    def __init__(self, *answers: tuple[bytes, bool]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[int, bytes]] = []
        self.slept_s: list[float] = []

    async def call(self, procedure: int, arguments: bytes, credential: object) -> Any:
        self.asked.append((procedure, arguments))
        results, retransmitted = self.answers.pop(0)
        return nfs3.Reply(xdr.XdrReader(results), retransmitted)

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)


def client(*answers: tuple[bytes, bool]) -> tuple[Any, Script]:
    script = Script(*answers)
    return nfs3.Nfs3Client(script), script


def attributes_bytes(*, size: int = 5, file_id: int = 42, kind: int = 1) -> bytes:
    return struct.pack(
        ">IIIIIQQIIQQIIIIII", kind, 0o100640, 1, 1000, 1001, size, 512, 8, 1, 7, file_id, 1, 2, 3, 4, 5, 6
    )


def status(name: str) -> bytes:
    return bytes(xdr.pack_u32(protocol.Status[name]))


# XDR


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_xdr_items_survive_a_round_trip(data: bytes, small: int, large: int) -> None:
    packed = xdr.pack_opaque(data) + xdr.pack_u32(small) + xdr.pack_u64(large)
    reader = xdr.XdrReader(packed)

    assert len(packed) % xdr.UNIT_BYTES == 0
    assert (reader.opaque(), reader.u32(), reader.u64()) == (data, small, large)
    assert reader.remaining == 0


@given(st.binary(min_size=1, max_size=100), st.integers(1, 100))
def test_a_cut_message_is_an_error_and_never_short_data(data: bytes, cut: int) -> None:
    packed = xdr.pack_opaque(data)
    with pytest.raises(xdr.XdrError):
        xdr.XdrReader(packed[: -min(cut, len(packed))]).opaque()


# RPC


def test_a_call_is_one_record_with_its_credential() -> None:
    message = rpc_message.encode_call(
        xid=7, program=100003, version=3, procedure=6, machine=b"node", credential=SOMEBODY, arguments=b"args"
    )
    (record,) = rpc_message.RecordAssembler().feed(message)
    reader = xdr.XdrReader(record)

    assert [reader.u32() for _ in range(6)] == [7, 0, 2, 100003, 3, 6]
    assert reader.u32() == rpc_message.AUTH_SYS
    body = xdr.XdrReader(reader.opaque())
    assert (body.u32(), body.opaque()) == (0, b"node")
    assert [body.u32() for _ in range(4)] == [1000, 1000, 1, 100]
    assert reader.fixed(8) == bytes(8)
    assert reader.fixed(4) == b"args"


def test_a_credential_names_no_more_groups_than_the_protocol_allows() -> None:
    many = rpc_message.Credential(1, 1, tuple(range(40)))
    message = rpc_message.encode_call(
        xid=1, program=1, version=1, procedure=1, machine=b"", credential=many, arguments=b""
    )
    reader = xdr.XdrReader(message[4:])
    reader.fixed(28)
    body = xdr.XdrReader(reader.opaque())
    body.fixed(16)
    assert body.u32() == rpc_message.GROUPS_MAX


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(1, 20), st.integers(1, 20))
def test_records_are_found_whatever_the_fragments_and_segments(
    records: list[bytes], fragment_bytes: int, segment_bytes: int
) -> None:
    stream = b""
    for record in records:
        pieces = [record[i : i + fragment_bytes] for i in range(0, len(record), fragment_bytes)] or [b""]
        for number, piece in enumerate(pieces, start=1):
            last = rpc_message.LAST_FRAGMENT if number == len(pieces) else 0
            stream += struct.pack(">I", last | len(piece)) + piece
    assembler = rpc_message.RecordAssembler()
    found: list[bytes] = []
    for start in range(0, len(stream), segment_bytes):
        found += assembler.feed(stream[start : start + segment_bytes])

    assert found == records


@pytest.mark.parametrize(
    ("words", "expected"),
    [((7, 1, 1, 1, 1), errno.EACCES), ((7, 1, 0, 0, 0, 2), errno.EIO)],
    ids=["denied", "program mismatch"],
)
def test_a_reply_that_is_no_success_is_an_error(words: tuple[int, ...], expected: int) -> None:
    with pytest.raises(rpc_message.NfsError) as caught:
        rpc_message.decode_reply(struct.pack(f">{len(words)}I", *words))
    assert caught.value.errno == expected


def test_results_follow_an_accepted_reply() -> None:
    assert rpc_message.decode_reply(struct.pack(">7I", 7, 1, 0, 0, 0, 0, 99)).u32() == 99


# NFS types


def test_attributes_are_read() -> None:
    found = protocol.Attributes.read(xdr.XdrReader(attributes_bytes()))

    assert (found.st_mode, found.links, found.uid, found.gid) == (0o100640, 1, 1000, 1001)
    assert (found.size, found.used, found.device, found.file_id) == (5, 512, (8, 1), 42)
    assert (found.atime_ns, found.mtime_ns, found.ctime_ns) == (1_000_000_002, 3_000_000_004, 5_000_000_006)


def test_only_named_attributes_are_set() -> None:
    assert protocol.SetAttributes().pack() == bytes(24)
    assert protocol.SetAttributes(size=9).pack() == bytes(12) + struct.pack(">IQ", 1, 9) + bytes(8)


@pytest.mark.parametrize(("time_ns", "seconds"), [(-1, 0), (5_000_000_001, 5), (2**33 * 10**9, 2**32 - 1)])
def test_times_beyond_the_protocol_become_the_nearest(time_ns: int, seconds: int) -> None:
    packed = protocol.SetAttributes(mtime_ns=time_ns).pack()
    assert struct.unpack(">I", packed[-8:-4]) == (seconds,)


# Calls that may be carried out twice


def test_a_repeated_create_finds_its_own_file() -> None:
    found_after = status("OK") + xdr.pack_opaque(b"handle") + xdr.pack_u32(1) + attributes_bytes()
    nfs, script = client((status("EXIST"), True), (found_after, False))

    assert run(nfs.mkdir(b"dir", b"name", 0o755, SOMEBODY)).handle == b"handle"
    assert [procedure for procedure, _ in script.asked] == [
        protocol.Procedure.MKDIR,
        protocol.Procedure.LOOKUP,
    ]


@pytest.mark.parametrize("retransmitted", [True, False])
@pytest.mark.parametrize("method", ["remove", "rmdir"])
def test_only_a_repeated_removal_may_find_nothing(method: str, retransmitted: bool) -> None:
    nfs, _ = client((status("NOENT"), retransmitted))
    call = getattr(nfs, method)(b"dir", b"name", SOMEBODY)
    if retransmitted:
        assert run(call) is None
    else:
        with pytest.raises(rpc_message.NfsError) as caught:
            run(call)
        assert caught.value.errno == errno.ENOENT


def test_a_first_create_of_an_existing_name_fails() -> None:
    nfs, _ = client((status("EXIST"), False))
    with pytest.raises(rpc_message.NfsError) as caught:
        run(nfs.mkdir(b"dir", b"name", 0o755, SOMEBODY))
    assert caught.value.errno == errno.EEXIST


def test_a_repeated_rename_succeeds_only_if_the_target_is_there() -> None:
    nfs, _ = client((status("NOENT"), True), (status("NOENT"), False))
    with pytest.raises(rpc_message.NfsError):
        run(nfs.rename(b"dir", b"a", b"dir", b"b", SOMEBODY))


def test_jukebox_is_asked_again() -> None:
    nfs, script = client((status("JUKEBOX"), False), (status("OK") + attributes_bytes(), False))

    assert run(nfs.getattr(b"handle", SOMEBODY)).size == 5
    assert script.slept_s == [nfs3.JUKEBOX_DELAY_S]


@pytest.mark.parametrize(("number", "expected"), [(70, errno.ESTALE), (28, errno.ENOSPC), (99999, errno.EIO)])
def test_a_status_becomes_an_errno(number: int, expected: int) -> None:
    nfs, _ = client((xdr.pack_u32(number), False))
    with pytest.raises(rpc_message.NfsError) as caught:
        run(nfs.getattr(b"handle", SOMEBODY))
    assert caught.value.errno == expected


# Uncommitted writes


class Server:
    """Takes writes like a server: what is not committed is gone after a restart."""

    def __init__(self) -> None:
        self.verifier, self.durable, self.cached = OLD, bytearray(8), bytearray(8)

    def restart(self) -> None:
        self.verifier, self.cached = NEW, bytearray(self.durable)

    async def write(self, _handle: bytes, offset: int, data: memoryview, _credential: object) -> Any:
        taken = bytes(data[:3])  # a server may take less than it is offered
        self.cached[offset : offset + len(taken)] = taken
        return protocol.WriteOutcome(len(taken), protocol.Stability.UNSTABLE, self.verifier)

    async def commit(self, _handle: bytes, _credential: object) -> bytes:
        self.durable = bytearray(self.cached)
        return self.verifier


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def data(server: Server) -> Any:
    return filedata.FileData(server, protocol.FilesystemLimits(4, 4), lambda _message: None)


@pytest.fixture
def node() -> Any:
    return nodes.Node(1, b"handle", nullcontext())


def test_what_a_restart_lost_is_written_again_in_order(server: Server, data: Any, node: Any) -> None:
    run(data.write(node, 0, b"aaaa", SOMEBODY))
    run(data.write(node, 2, b"bb", SOMEBODY))
    server.restart()
    run(data.write(node, 3, b"c", SOMEBODY))

    assert bytes(server.cached[:4]) == b"aabc"
    run(data.commit(node, SOMEBODY))
    assert bytes(server.durable[:4]) == b"aabc"
    assert not node.uncommitted


def test_a_restart_before_the_commit_is_noticed_by_it(server: Server, data: Any, node: Any) -> None:
    run(data.write(node, 0, b"aaaa", SOMEBODY))
    server.restart()
    run(data.commit(node, SOMEBODY))

    assert bytes(server.durable[:4]) == b"aaaa"
    assert node.uncommitted.size == 0


def test_what_could_not_be_written_again_is_kept(
    server: Server, data: Any, node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_arguments: object) -> Any:
        raise rpc_message.NfsError(errno.ENOSPC)

    run(data.write(node, 0, b"aaaa", SOMEBODY))
    server.restart()
    monkeypatch.setattr(server, "write", refuse)
    with pytest.raises(rpc_message.NfsError):
        run(data.commit(node, SOMEBODY))
    assert node.uncommitted.size == 4


# Nodes


def test_a_node_lives_as_long_as_it_is_referred_to_or_open() -> None:
    table = nodes.NodeTable(b"root", nullcontext)
    node = table.refer(b"handle", 42)
    table.opened(node)
    table.forget(42, 1)
    assert table.find(b"handle", 42) is node
    table.closed(node)
    assert table.get(42) is None
    table.forget(nodes.ROOT_INODE, 5)
    assert table.get(nodes.ROOT_INODE) is table.root


def test_a_reused_number_is_a_new_generation() -> None:
    table = nodes.NodeTable(b"root", nullcontext)
    old = table.refer(b"old", 42)
    table.opened(old)
    new = table.refer(b"new", 42)

    assert (old.handle, new.handle, new.generation, new.lookups) == (b"old", b"new", 1, 2)
    table.closed(old)
    assert table.get(42) is new


def test_another_file_with_the_roots_number_is_moved_aside() -> None:
    table = nodes.NodeTable(b"root", nullcontext)
    assert table.refer(b"root", 2) is table.root
    assert table.refer(b"handle", nodes.ROOT_INODE).inode == nodes.DISPLACED_INODE


# Options


def test_defaults_and_options() -> None:
    plain = options.parse_arguments(["storage:/export", "/homes"])
    assert (plain.host, plain.export, plain.mountpoint, plain.hard) == ("storage", "/export", "/homes", True)
    assert (plain.port, plain.mountport) == (2049, 20048)

    tuned = options.parse_arguments(["-o", "soft,timeo=0.5", "-o", "retrans=3,ac=0", "-f", "[::1]:/a:/b", "/m"])
    assert (tuned.hard, tuned.timeo_s, tuned.retrans, tuned.ac_s) == (False, 0.5, 3, 0.0)
    assert (tuned.host, tuned.export) == ("::1", "/a:/b")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["storage:/export"], "mountpoint"),
        (["storage", "/homes"], "expected SERVER:/EXPORT"),
        (["-o", "tmieo=3", "storage:/export", "/homes"], "did you mean timeo?"),
        (["-o", "timeo=fast", "storage:/export", "/homes"], "expected a number of seconds"),
        (["-o", "timeo=nan", "storage:/export", "/homes"], "expected a number of seconds"),
        (["-o", "timeo=0", "storage:/export", "/homes"], "above zero"),
        (["-o", "hard=yes", "storage:/export", "/homes"], "takes no value"),
        (["-o", "port=70000", "storage:/export", "/homes"], "from 1 to 65535"),
        (["--fast", "storage:/export", "/homes"], "--fast"),
    ],
)
def test_a_wrong_command_line_is_named(arguments: list[str], said: str) -> None:
    with pytest.raises(options.UsageError, match=said.replace("?", r"\?")):
        options.parse_arguments(arguments)


def test_the_help_names_every_option() -> None:
    for name in ("hard", "soft", "timeo", "retrans", "dead", "ac", "mounttimeo", "port", "mountport"):
        assert f"  {name}" in options.HELP
