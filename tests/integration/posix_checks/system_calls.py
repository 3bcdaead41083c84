"""Single system calls, by their names."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .expect import SLOW_S, expect_errno, mode, names, shell

CLOCK_TOLERANCE_S = 5.0
"""Between the clocks of server and client, and for the work in between."""

ROOT_UID = 0
PERSON = 1000


def create_and_read() -> None:
    Path("a").write_text("x" * 100_000)
    assert Path("a").read_text() == "x" * 100_000


def exclusive_create() -> None:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    fd = os.open("a", flags, 0o640)
    os.write(fd, b"z")
    os.close(fd)
    assert mode("a") == 0o640
    assert abs(Path("a").stat().st_mtime - time.time()) < CLOCK_TOLERANCE_S
    expect_errno(errno.EEXIST, os.open, "a", flags)


def exclusive_create_read_only_mode() -> None:
    fd = os.open("a", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o444)
    os.write(fd, b"zz")
    os.fsync(fd)
    os.close(fd)
    assert Path("a").stat().st_size == 2


def rename_over() -> None:
    Path("a").write_text("1")
    Path("b").write_text("2")
    os.rename("a", "b")
    assert Path("b").read_text() == "1"
    assert names() == ["b"]
    expect_errno(errno.ENOENT, os.rename, "x", "y")
    os.mkdir("d")
    Path("d/f").touch()
    os.mkdir("e")
    expect_errno(errno.ENOTEMPTY, os.rename, "e", "d")
    os.rename("b", "d/b")
    assert Path("d/b").read_text() == "1"


def unlink_while_open() -> None:
    with open("a", "w+") as file:
        file.write("hello")
        file.flush()
        os.unlink("a")
        assert "a" not in names()
        assert not Path("a").exists()
        file.seek(0)
        assert file.read() == "hello"
        file.write("more")
        file.flush()
        assert os.fstat(file.fileno()).st_size == 9
    deadline = time.monotonic() + SLOW_S
    while names():  # the kernel tells of the last close in the background
        assert time.monotonic() < deadline, names()
        time.sleep(0.01)


def rename_over_open() -> None:
    with open("a", "w+") as file:
        file.write("old")
        file.flush()
        Path("b").write_text("new")
        os.rename("b", "a")
        file.seek(0)
        assert file.read() == "old"
        assert Path("a").read_text() == "new"
    assert Path("a").read_text() == "new"


def truncate() -> None:
    Path("a").write_text("x" * 5000)
    os.truncate("a", 10)
    assert Path("a").stat().st_size == 10
    os.truncate("a", 20)
    assert Path("a").read_bytes() == b"x" * 10 + bytes(10)
    with open("a", "r+") as file:
        file.truncate(3)
        assert file.read() == "xxx"
    with open("a", "w"):
        assert Path("a").stat().st_size == 0


def append() -> None:
    lines = [f"{i:03d}\n" for i in range(50)]
    for line in lines:
        with open("a", "a") as file:
            file.write(line)
    assert Path("a").read_text() == "".join(lines)
    shell("for i in 1 2 3; do echo $i >> l; done")
    assert Path("l").read_text() == "1\n2\n3\n"


def fsync_of_file_and_directory() -> None:
    with open("a", "w") as file:
        file.write("x" * 3_000_000)
        file.flush()
        os.fsync(file.fileno())
        os.fdatasync(file.fileno())
    directory = os.open(".", os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def directories() -> None:
    os.makedirs("a/b/c")
    expect_errno(errno.EEXIST, os.mkdir, "a")
    expect_errno(errno.ENOTEMPTY, os.rmdir, "a")
    os.rmdir("a/b/c")
    assert names("a/b") == []
    Path("f").touch()
    expect_errno(errno.ENOTDIR, os.listdir, "f")
    for i in range(1500):
        Path(f"a/{i}").touch()
    listed = names("a")
    assert len(listed) == len(set(listed)) == 1501, len(listed)
    with os.scandir("a") as entries:
        for entry in entries:
            if entry.is_file():
                os.unlink(entry.path)
    assert names("a") == ["b"]


def permissions() -> None:
    Path("a").touch()
    os.chmod("a", 0o600)
    assert mode("a") == 0o600
    os.chmod("a", 0o755)
    assert os.access("a", os.X_OK)
    if os.getuid() == ROOT_UID:
        os.chown("a", PERSON, PERSON)
        assert Path("a").stat().st_uid == PERSON
    else:
        os.chmod("a", 0)
        expect_errno(errno.EACCES, open, "a")


def execute_script() -> None:
    Path("s").write_text("#!/bin/sh\necho ok\n")
    os.chmod("s", 0o755)
    assert subprocess.check_output(["./s"]) == b"ok\n"


def links() -> None:
    Path("a").write_text("q")
    os.symlink("a", "s")
    assert os.readlink("s") == "a"
    assert Path("s").read_text() == "q"
    os.link("a", "h")
    assert Path("h").stat().st_nlink == 2
    assert Path("a").stat().st_ino == Path("h").stat().st_ino
    os.unlink("a")
    assert Path("h").read_text() == "q"
    assert Path("h").stat().st_nlink == 1


def times() -> None:
    atime_ns, mtime_ns = 10**18 + 123_456_789, 10**18 + 987_654_321
    Path("a").touch()
    os.utime("a", ns=(atime_ns, mtime_ns))
    found = Path("a").stat()
    assert (found.st_atime_ns, found.st_mtime_ns) == (atime_ns, mtime_ns)
    with open("a", "a") as file:
        file.write("x")
    assert abs(Path("a").stat().st_mtime - time.time()) < CLOCK_TOLERANCE_S


def mtime_moves_with_a_write() -> None:
    with open("a", "w") as file:
        file.write("x")
        file.flush()
        before_ns = Path("a").stat().st_mtime_ns
        time.sleep(0.05)  # more than a tick of the clock that stamps files (1 to 10 ms)
        file.write("y")
        file.flush()
        assert Path("a").stat().st_mtime_ns > before_ns


def shared_memory_map() -> None:
    with open("a", "w+b") as file:
        file.truncate(8192)
        with mmap.mmap(file.fileno(), 8192) as mapped:
            mapped[0:5] = b"hello"
            mapped.flush()
            assert Path("a").read_bytes()[:5] == b"hello"


def fifo_and_socket() -> None:
    os.mkfifo("p")
    assert stat.S_ISFIFO(Path("p").stat().st_mode)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("s")
        server.listen()
        client.connect("s")


def posix_locks() -> None:
    attempt = "import fcntl; fcntl.lockf(open('a', 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with open("a", "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        other = subprocess.run([sys.executable, "-c", attempt], capture_output=True, check=False)
        assert b"BlockingIOError" in other.stderr
    subprocess.run([sys.executable, "-c", attempt], check=True)


def whole_file_locks() -> None:
    with open("a", "w") as first, open("a", "w") as second:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        expect_errno(errno.EAGAIN, fcntl.flock, second, fcntl.LOCK_EX | fcntl.LOCK_NB)


def sparse_file() -> None:
    fd = os.open("a", os.O_CREAT | os.O_RDWR)
    os.pwrite(fd, b"z", 1 << 22)
    assert os.pread(fd, 3, 1 << 21) == bytes(3)
    assert os.fstat(fd).st_size == (1 << 22) + 1
    os.close(fd)


def long_and_strange_names() -> None:
    longest, strange = "n" * 255, "é\n ü"
    Path(longest).touch()
    assert names() == [longest]
    expect_errno(errno.ENAMETOOLONG, open, longest + "x", "w")
    Path(strange).touch()
    assert strange in names()


def filesystem_usage() -> None:
    assert os.statvfs(".").f_bavail > 0


def allocate() -> None:
    with open("a", "w") as file:
        os.posix_fallocate(file.fileno(), 0, 100_000)
    assert Path("a").stat().st_size == 100_000


CHECKS: tuple[Callable[[], None], ...] = (
    create_and_read,
    exclusive_create,
    exclusive_create_read_only_mode,
    rename_over,
    unlink_while_open,
    rename_over_open,
    truncate,
    append,
    fsync_of_file_and_directory,
    directories,
    permissions,
    execute_script,
    links,
    times,
    mtime_moves_with_a_write,
    shared_memory_map,
    fifo_and_socket,
    posix_locks,
    whole_file_locks,
    sparse_file,
    long_and_strange_names,
    filesystem_usage,
    allocate,
)
