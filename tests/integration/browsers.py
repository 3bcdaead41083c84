"""What tests of balancers share: people, who are curl with a cookie jar on the balancer's own machine, and a look into
the balancer through its runtime socket."""

from __future__ import annotations

import csv
import re
import secrets
from dataclasses import dataclass

import pytest

from harness.components.jupyterhub import LOG_IN_PATH
from harness.runtime.docker import DockerDeployment
from tests.conftest import eventually

__all__ = ["Browser", "believed", "persons", "somebody_on"]


@dataclass(frozen=True)
class Browser:
    """Somebody who comes to one of the balancers."""

    platform: DockerDeployment
    balancer: str
    name: str

    def ask(self, times: int = 1, *options: str, path: str = LOG_IN_PATH) -> list[tuple[str, str]]:
        """Status of each answer, and the node that it came from; empty where it is the balancer's own."""
        url = f"http://127.0.0.1{path}?{self.name}=[1-{times}]"
        each = ("-o", "/dev/null", "-w", r"%{http_code} %header{x-workbench-node}\n", "-H", "Connection: close")
        lines = self._curl(*each, *options, url).splitlines()
        assert len(lines) == times, lines
        return [(status, node) for status, _, node in (line.partition(" ") for line in lines)]

    def stays(self, times: int = 10, path: str = LOG_IN_PATH) -> str:
        """The one node that answers each time."""
        (answer,) = set(self.ask(times, path=path))
        assert answer[0] == "200", answer
        return answer[1]

    def cookies(self) -> dict[str, str]:
        """What the jar holds, in Netscape's format: seven fields, the last two are name and value."""
        jar = self.platform.execute(self.balancer, ["cat", self._jar]).output
        fields = [line.split("\t") for line in jar.splitlines()]
        return {field[5]: field[6] for field in fields if len(field) == 7}

    def start_session(self, password: str) -> None:
        """Log in, and `go_in`."""
        self.ask()
        form = {"_xsrf": self.cookies()["_xsrf"], "username": self.name, "password": password}
        fields = [word for key, value in form.items() for word in ("--data-urlencode", f"{key}={value}")]
        page = f"http://127.0.0.1{LOG_IN_PATH}"
        said = self._curl("-o", "/dev/null", "-w", "%{http_code}", "-e", page, *fields, page)
        assert said == "302", f"the log-in answers {said}"
        self.go_in()

    def go_in(self) -> None:
        """Ask for a server and go in, by the redirects of the pages, as somebody who is logged in."""
        self._curl("-L", "-o", "/dev/null", "http://127.0.0.1/hub/spawn")
        # to be let in the browser is sent to the hub and back; pages of /api/ only refuse
        door = f"/user/{self.name}/view/x"
        eventually(lambda: self._enters(door), f"{self.name} has a session")

    def _enters(self, door: str) -> bool:
        self.ask(1, "-L", path=door)
        return self.ask(path=self.own)[0][0] == "200"

    @property
    def own(self) -> str:
        """A page of their own server."""
        return f"/user/{self.name}/api/status"

    @property
    def _jar(self) -> str:
        return f"/tmp/{self.name}"

    def _curl(self, *options: str) -> str:
        argv = ["curl", "-sS", "-m", "20", "-b", self._jar, "-c", self._jar, *options]
        done = self.platform.execute(self.balancer, argv, timeout_s=60)
        assert done.exit_code == 0, done.output
        return done.output


def somebody_on(platform: DockerDeployment, balancer: str, node: str) -> Browser:
    """A newcomer whom the balancer has sent to this node."""
    for number in range(10):
        browser = Browser(platform, balancer, f"{balancer}-{node}-{number}-{secrets.token_hex(2)}")
        if browser.stays(1) == node:
            return browser
    pytest.fail(f"{balancer} sent none of ten newcomers to {node}")


def ask_runtime(platform: DockerDeployment, balancer: str, command: str) -> str:
    """What HAProxy answers on its runtime socket."""
    pipe = f"echo '{command}' | socat -t 5 - UNIX-CONNECT:/run/haproxy/admin.sock"
    done = platform.execute(balancer, ["sh", "-c", pipe])
    assert done.exit_code == 0, done.output
    return done.output


def believed(platform: DockerDeployment, balancer: str) -> dict[tuple[str, str], dict[str, str]]:
    """HAProxy's statistics of each server by backend and name."""
    text = ask_runtime(platform, balancer, "show stat -1 4 -1")
    rows = csv.DictReader(text.removeprefix("# ").strip().splitlines())
    return {(row["pxname"], row["svname"]): row for row in rows}


def persons(platform: DockerDeployment, balancer: str) -> dict[str, str]:
    """The table of a balancer: somebody's random number and their node."""
    return dict(re.findall(r"key=(\S+) .*server_key=(\S+)", ask_runtime(platform, balancer, "show table workbench")))
