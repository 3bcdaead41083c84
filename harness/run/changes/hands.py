"""What a planned change does to a container, whatever it is: start, shut down, run a command; and send somebody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.core.clock import Clock, to_ns, to_s
from harness.core.specs import ContainerSpec
from harness.errors import ChangeFailed, DeploymentError
from harness.run.interrupts import Interrupts
from harness.run.stage import Stage
from harness.runtime.base import Deployment

__all__ = ["Hands"]

#: Between two looks at whether something is over.
_LOOK_S = 0.5
#: A hub's database has some hundred rows.
_COMMAND_LIMIT_S = 60.0


class Hands:
    """On the platform of a stage, while people are watched."""

    def __init__(
        self,
        stage: Stage,
        clock: Clock,
        *,
        interrupts: Interrupts,
        watch_until: Callable[[int], None],
        keep_log: Callable[[str, str], None],
    ) -> None:
        """`keep_log` gets the log of a container that is about to go."""
        self.stage = stage
        self._clock = clock
        self._interrupts = interrupts
        self._watch_until = watch_until
        self._keep_log = keep_log
        self._lives: dict[str, int] = {}

    @property
    def deployment(self) -> Deployment:
        """What runs."""
        deployment = self.stage.deployment
        assert deployment is not None, "there are people at work"
        return deployment

    def start(self, specs: Sequence[ContainerSpec]) -> str:
        """Until each is ready; returns after how long. Raises `ChangeFailed` where one does not get there."""
        seconds: dict[str, float] = {}
        try:
            with self._interrupts.allowed():
                self.deployment.start(specs, lambda spec, ready_s: seconds.__setitem__(spec.name, ready_s))
        except DeploymentError as error:
            raise ChangeFailed(error.message) from error
        return "healthy after " + ", ".join(f"{seconds[spec.name]:.1f} s" for spec in specs)

    def retire(self, name: str) -> None:
        """Shut it down and remove it; its log is kept, with a number behind the name."""
        self._lives[name] = self._lives.get(name, 0) + 1
        try:
            self._keep_log(f"{name}-{self._lives[name]}", name)
            self.deployment.retire(name)
        except DeploymentError as error:
            raise ChangeFailed(error.message) from error

    def execute(self, container: str, argv: Sequence[str]) -> str:
        """What it prints. Raises `ChangeFailed` with that where it fails."""
        try:
            result = self.deployment.execute(container, argv, timeout_s=_COMMAND_LIMIT_S)
        except DeploymentError as error:
            raise ChangeFailed(error.message) from error
        if result.exit_code != 0:
            raise ChangeFailed(f"{container}: exit code {result.exit_code}: {result.output.strip()[-300:]}")
        return result.output.strip()

    def visit(self, url: str, node: str, *, limit_s: float, where: str) -> str:
        """Somebody comes and tries everything, as often as time allows; returns what they could do.

        `node` is the node that serves at the URL, empty behind a balancer. Raises `ChangeFailed` where nobody gets
        through within `limit_s`.
        """
        began_ns = self._clock.now_ns()
        while True:
            self.stage.client.call("visit", url=url, node=node)
            visit: Mapping[str, Any] = {"over": False}
            while not visit["over"]:
                self._watch_until(self._clock.now_ns() + to_ns(_LOOK_S))
                visit = self.stage.client.call("visited")
            seconds = to_s(self._clock.now_ns() - began_ns)
            if not visit["why_not"]:
                return f"somebody could log in, start a session, run a cell and save after {seconds:.1f} s"
            if seconds >= limit_s:
                raise ChangeFailed(f"nobody could work {where} within {limit_s:g} s: {visit['why_not']}")

    def wait(self, look: Callable[[], str], *, limit_s: float) -> float:
        """Until `look` finds nothing missing; returns after how many seconds. Raises `ChangeFailed` with what it found
        last."""
        began_ns = self._clock.now_ns()
        while missing := look():
            if to_s(self._clock.now_ns() - began_ns) >= limit_s:
                raise ChangeFailed(f"{missing}, for {limit_s:g} s")
            self._watch_until(self._clock.now_ns() + to_ns(_LOOK_S))
        return to_s(self._clock.now_ns() - began_ns)
