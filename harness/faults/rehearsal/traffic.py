"""The rehearsal's Toxiproxies and queueing disciplines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from harness.core.names import link_name, proxy_name
from harness.core.topology import Link
from harness.faults.host.traffic import Ended, Exchange, Proxy, Toxic
from harness.faults.rehearsal.paper import Paper
from harness.faults.scripts.questions import question

__all__ = ["RehearsalTraffic"]

_USUAL_S = 0.002
_SERVICE = 7
_FIRST_PORT = 10_000


class _Machines(Protocol):
    """What must be known of the machines on paper."""

    pids: dict[str, int]

    def of_pid(self, pid: int) -> str:
        """The machine with that PID 1."""
        ...


class RehearsalTraffic:
    """See `harness.faults.host.traffic.Traffic`. A link on paper leads to an echo service."""

    def __init__(self, paper: Paper, machines: _Machines) -> None:
        self._paper = paper
        self._machines = machines
        self._toxics: dict[tuple[int, str], dict[str, Toxic]] = {}
        self._scripts: dict[int, tuple[str, str]] = {}  # PID 1 -> handle, script
        self.why_not = ""
        """What the kernel on paper says to every script."""

    def proxies(self, pid: int) -> Sequence[Proxy]:
        machine = self._machines.of_pid(pid)
        source, target = next(pair for pair in Link.POSSIBLE if link_name(*pair) == machine)
        ends = [
            [name for name in self._machines.pids if name.startswith(role.value.replace("_", "-"))]
            for role in (source, target)
        ]
        pairs = [(one, other) for one in ends[0] for other in ends[1]]
        found = []
        for number, (one, other) in enumerate(pairs):
            name = proxy_name(one, other, _SERVICE)
            toxics = tuple(self._toxics.get((pid, name), {}).values())
            found.append(Proxy(name=name, port=_FIRST_PORT + number, address=other, service=_SERVICE, toxics=toxics))
        return found

    def add_toxic(self, pid: int, proxy: str, toxic: Toxic) -> None:
        machine = self._machines.of_pid(pid)
        attributes = " ".join(f"-a {name}={value}" for name, value in toxic.attributes.items())
        where = f"nsenter --net=<network namespace of {machine}>"
        which = f"-n {toxic.name} -t {toxic.type} --{toxic.stream}"
        if self._paper.do(f"{where} toxiproxy-cli toxic add {which} {attributes} {proxy}"):
            self._toxics.setdefault((pid, proxy), {})[toxic.name] = toxic
            self._paper.break_(f"toxic {toxic.name} on {proxy}", machine, until_restart=True)

    def remove_toxic(self, pid: int, proxy: str, name: str) -> None:
        machine = self._machines.of_pid(pid)
        where = f"nsenter --net=<network namespace of {machine}>"
        if self._paper.do(f"{where} toxiproxy-cli toxic remove -n {name} {proxy}"):
            self._toxics.get((pid, proxy), {}).pop(name, None)
            self._paper.mend(f"toxic {name} on {proxy}", machine)

    def exchange(
        self,
        pid: int,
        address: str,  # noqa: ARG002 - all that is there on paper
        port: int,
        service: int,
        *,
        padding_bytes: int = 0,
        count: int = 1,
    ) -> Sequence[Exchange]:
        size = len(question(service, padding_bytes).data)
        usual = Exchange(ended=Ended.ANSWERED, took_s=_USUAL_S, sent_bytes=size, received_bytes=size)
        toxics = self._on(pid, port)
        if any(toxic.type == "reset_peer" for toxic in toxics):
            return [replace(usual, ended=Ended.RESET, received_bytes=0)] * count
        return [
            replace(usual, took_s=_USUAL_S + sum(_delay_s(toxic, size, number / count) for toxic in toxics))
            for number in range(count)
        ]

    def hang_up(self, pid: int, address: str, port: int) -> Exchange:  # noqa: ARG002 - all that is there on paper
        delay_s = sum(toxic.attributes["delay"] / 1000 for toxic in self._on(pid, port) if toxic.type == "slow_close")
        return Exchange(ended=Ended.CLOSED, took_s=_USUAL_S + delay_s)

    def why_not_shape(self, device: str, script: str) -> str:  # noqa: ARG002 - paper is patient
        return self.why_not

    def shape(self, pid: int, script: str) -> None:
        machine = self._machines.of_pid(pid)
        commands = "; ".join(f"tc {line}" for line in script.splitlines())
        if self._paper.do(f"nsenter --net=<network namespace of {machine}> sh -c '{commands}'"):
            self._scripts[pid] = script.split(" handle ")[1].split(maxsplit=1)[0], script
            self._paper.break_("queueing discipline", machine, until_restart=True)

    def unshape(self, pid: int, device: str, handle: str) -> None:
        machine = self._machines.of_pid(pid)
        command = f"nsenter --net=<network namespace of {machine}> tc qdisc del dev {device} root handle {handle}"
        if self.handle(pid, device) == handle and self._paper.do(command):
            del self._scripts[pid]
            self._paper.mend("queueing discipline", machine)

    def handle(self, pid: int, device: str) -> str:  # noqa: ARG002 - there is one only
        return self._scripts.get(pid, ("", ""))[0]

    def knock_s(
        self,
        pid: int,
        address: str,  # noqa: ARG002 - all are there on paper
        *,
        load_bytes: int = 0,
        count: int = 1,
    ) -> Sequence[float]:
        script = self._scripts.get(pid, ("", ""))[1]
        words = script.split()
        if "delay" in words:
            asked = words[words.index("delay") + 1 :][:2]
            late = [float(word.removesuffix("ms")) / 1000 for word in asked if word.endswith("ms")]
            jitter = late[1] if len(late) > 1 else 0.0
            return [_USUAL_S + late[0] + jitter * (2 * number / count - 1) for number in range(count)]
        if "kbit" in script:
            rate = int(words[words.index("rate") + 1].removesuffix("kbit")) * 125
            return [_USUAL_S + load_bytes / rate] * count
        return [_USUAL_S] * count

    def _on(self, pid: int, port: int) -> list[Toxic]:
        return [toxic for proxy in self.proxies(pid) if proxy.port == port for toxic in proxy.toxics]


def _delay_s(toxic: Toxic, size: int, drawn: float) -> float:
    if toxic.type == "latency":
        jitter = toxic.attributes["jitter"]
        return (toxic.attributes["latency"] + jitter * (2 * drawn - 1)) / 1000
    return size / (1000 * toxic.attributes["rate"]) if toxic.type == "bandwidth" else 0.0
