"""Programs that people have in their homes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from .expect import shell


def sqlite_rollback_journal() -> None:
    with closing(sqlite3.connect("db")) as database:
        database.execute("create table t(a)")
        for i in range(20):
            database.execute("insert into t values(?)", (i,))
            database.commit()
        assert database.execute("select count(*) from t").fetchone() == (20,)
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)


def sqlite_write_ahead_log() -> None:
    writer = (
        "import sqlite3\n"
        "database = sqlite3.connect('db', timeout=30)\n"
        "for i in range(10): database.execute('insert into t values(?)', (i,)); database.commit()"
    )
    with closing(sqlite3.connect("db", timeout=20)) as database:
        assert database.execute("pragma journal_mode=wal").fetchone() == ("wal",)
        database.execute("create table t(a)")
        database.commit()
        writers = [subprocess.Popen([sys.executable, "-c", writer]) for _ in range(3)]
        assert [process.wait() for process in writers] == [0, 0, 0]
        assert database.execute("select count(*) from t").fetchone() == (30,)
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)


def git_repository() -> None:
    status = shell(
        """
        git init -q -b main r; cd r
        for i in $(seq 60); do echo $i > f$i; done
        git add .; git commit -qm 1; echo x >> f1; git commit -qam 2
        git gc -q; git checkout -q -b other HEAD~1; git merge -q main; git fsck
        git clone -q . ../r2
        git status --porcelain
        """,
        HOME=str(Path.cwd()),
        GIT_AUTHOR_NAME="a",
        GIT_AUTHOR_EMAIL="a@example.org",
        GIT_COMMITTER_NAME="a",
        GIT_COMMITTER_EMAIL="a@example.org",
    )
    assert status == b"", status


def copy_and_archive() -> None:
    shell(
        """
        mkdir s; for i in $(seq 100); do echo $i > s/$i; done
        cp -a s t; diff -r s t
        tar cf x.tar s; mkdir u; tar xf x.tar -C u; diff -r s u/s
        rm -rf s t u
        """
    )


def virtual_environment() -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "v"], check=True)
    assert subprocess.check_output(["v/bin/python", "-c", "print(1)"]) == b"1\n"


CHECKS: tuple[Callable[[], None], ...] = (
    sqlite_rollback_journal,
    sqlite_write_ahead_log,
    git_repository,
    copy_and_archive,
    virtual_environment,
)
