"""The frozen model of a system that is there already. `spec.attach` reads YAML into these classes.

Nothing of it is started or removed, and nothing is known of it but what the file says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from harness.core.constraints import Bounds, ByProduct, Period, Positive, Seconds
from harness.core.experiment import AbortWhen
from harness.core.products import STRICT, Workbench
from harness.core.topology import Promise, Topology
from harness.core.words import Capability, Role

__all__ = [
    "DOCKER_ACTS",
    "Attach",
    "AttachFile",
    "AttachedSystem",
    "CommandAct",
    "Docker",
    "HttpSession",
    "JupyterHubSession",
    "LowLoad",
    "Machine",
    "PositWorkbenchSession",
    "Request",
    "Ssh",
    "Token",
    "UsersFrom",
]

_EXPERIMENTAL = (
    "Experimental: the adapter for RStudio Server and Posit Workbench was written from the public sources of RStudio "
    "Server and tested against a contract recorded from them, never against a licensed Posit Workbench."
)
#: What can be done through an engine's API, each with an undoing of its own.
DOCKER_ACTS = ("kill", "stop", "restart", "pause")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request and what its answer must be. `{user}`, `{password}` and `{token}` may stand in the values of
    `form` and `headers`."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    method: Literal["GET", "POST", "PUT"] = "GET"
    path: str
    """From the root of `url`; redirects are not followed."""
    form: Mapping[str, str] = field(default_factory=dict)
    """Fields of the body, as a form sends them."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Beside those that every request has."""
    expect_status: Annotated[int, Bounds(100, 599)] = 200
    """A log-in page often says success by a redirect (302) and failure by the page again (200)."""
    expect_text: str = ""
    """Must stand in the answer; empty: nothing is looked for."""


@dataclass(frozen=True, kw_only=True)
class Token:
    """Something that the log-in request must repeat from a page, such as a CSRF token."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    path: str
    """The page, fetched with GET before each log-in."""
    pattern: str
    """A regular expression whose first group is the token."""


@dataclass(frozen=True, kw_only=True)
class JupyterHubSession:
    """JupyterHub at the root of `url`, with a log-in form for name and password, and a kernel called `python3`."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT
    CAPABILITIES: ClassVar[tuple[Capability, ...]] = tuple(Capability)

    product: Literal["jupyterhub"] = "jupyterhub"


@dataclass(frozen=True, kw_only=True)
class PositWorkbenchSession:
    """Experimental. RStudio Server, or a Posit Workbench with one session for each user
    (`server-multiple-sessions=0`), at the root of `url`, with its own log-in form.

    Written from the public sources of RStudio Server and tested against a contract recorded from them, never against a
    licensed Posit Workbench; every report says so.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT
    CAPABILITIES: ClassVar[tuple[Capability, ...]] = (Capability.LOG_IN, Capability.WORK)

    product: Literal["posit-workbench"] = "posit-workbench"


@dataclass(frozen=True, kw_only=True)
class HttpSession:
    """Anything that people log in to by one request and use by another."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT
    CAPABILITIES: ClassVar[tuple[Capability, ...]] = (Capability.LOG_IN, Capability.WORK)

    product: Literal["http"] = "http"
    token: Token | None = None
    """What the log-in needs of a page before it."""
    log_in: Request
    """Gets the cookies with which everything else is asked."""
    heartbeat: Request
    """What people do all the time: measured as `work`."""


@dataclass(frozen=True, kw_only=True)
class UsersFrom:
    """Where names and passwords are: one `name:password` a line. Either of the two."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    environment: str = ""
    """A variable that holds the lines."""
    file: str = ""
    """A file that holds them; from the folder of this one where it is relative."""


@dataclass(frozen=True, kw_only=True)
class LowLoad:
    """How many people come and how busy they are. It takes so many accounts and a few more, for the instruments."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    users: Positive = 2
    beat_s: Period = 5.0
    """Each runs a cell, or sends a heartbeat, so often."""
    save_every: Positive = 2
    """Each n-th beat also saves, where the product has homes."""
    ramp_s: Seconds = 5.0
    """Log-ins are spread over this time."""
    probe_every_s: Annotated[float, Bounds(0.25)] = 2.0
    """How often log-in, work and saving are probed. It bounds how exactly an outage is known."""
    start_probe_every_s: Annotated[float, Bounds(1)] = 60.0
    """How often a session is started by an instrument; fewer than three in a run prove nothing."""


@dataclass(frozen=True, kw_only=True)
class Docker:
    """A container of an engine. `kill`, `stop`, `restart` and `pause` can be done to it, and are undone by starting it
    or letting it go on."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    product: Literal["docker"] = "docker"
    label: str
    """`key=value` or `key`: the label that it bears, such as `com.docker.compose.service=hub`."""
    name: str = ""
    """Which one, where several bear the label."""
    socket: str = "/var/run/docker.sock"
    """Of the engine, on this machine."""


@dataclass(frozen=True, kw_only=True)
class CommandAct:
    """How one kind of fault is done by commands."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    do: str
    """Such as `sudo systemctl stop jupyterhub`. It must come back by itself."""
    undo: str
    """Such as `sudo systemctl start jupyterhub`. Sent also where it is not known whether `do` arrived, and perhaps
    twice."""
    in_force: str
    """Exits with 0 as long as the fault is in force and with anything else when it is not, such as
    `! systemctl is-active --quiet jupyterhub`: the proof, before and after the undoing."""


@dataclass(frozen=True, kw_only=True)
class Ssh:
    """A machine that commands are sent to by `ssh`, without a password, as whoever runs the harness may."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    product: Literal["ssh"] = "ssh"
    host: str
    """As `ssh` takes it: `admin@node-0.staging.example.org`, or a name of ~/.ssh/config."""
    options: tuple[str, ...] = ()
    """More arguments of `ssh`, such as `-p`, `2222`."""
    acts: Mapping[str, CommandAct]
    """What can be done to it, by kind of fault."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine that a fault can reach."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    role: Role
    """What experiments call it: the first machine with `workbench` that is allowed is `workbench[0]`."""
    reach: Annotated[Docker | Ssh, ByProduct()]
    """How."""

    def can(self, fault: str) -> bool:
        """Whether this kind of fault can be done to it."""
        return fault in (DOCKER_ACTS if isinstance(self.reach, Docker) else self.reach.acts)


@dataclass(frozen=True, kw_only=True)
class Attach:
    """A system that is there already."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    url: str
    """Where people come to: `https://workbench.staging.example.org`, without a path."""
    authority: str = ""
    """A file with the certificates to verify https with; the machine's own where it is left out. It is always
    verified."""
    session: Annotated[JupyterHubSession | PositWorkbenchSession | HttpSession, ByProduct()]
    """How people log in and work."""
    users: UsersFrom
    """Test accounts, of which each is somebody's of the load alone."""
    load: LowLoad = LowLoad()
    """How much of it."""
    machines: Mapping[str, Machine] = field(default_factory=dict)
    """What a fault can reach, by a name. The name that a balancer gives in `X-Workbench-Node`, where it does, tells who
    was on a machine that was hit. Without any: observe only."""
    allow: tuple[str, ...] = ()
    """The machines that may be broken, by name. Nothing is broken that is not here."""
    abort_when: AbortWhen | None = None
    """When a fault goes too far, for experiments that don't say it themselves."""


@dataclass(frozen=True, kw_only=True)
class AttachFile:
    """An existing system: what is in its file."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    description: str
    """What it is, in a sentence or two."""
    stands_for: str = ""
    """Which arrangement it stands for, such as the production system that is built like it."""
    attach: Attach
    """Where it is and how it is used and reached."""
    promises: Mapping[str, Promise] = field(default_factory=dict)
    """What whoever runs it believes, keyed by the experiment's name."""
    known_broken: Mapping[str, str] = field(default_factory=dict)
    """Promises that people believe and that do not hold: the experiment's name and why."""
    name: str = ""
    """The file's name without its ending; not a key of the file."""

    def system(self) -> AttachedSystem:
        """The same as what a run works with."""
        return AttachedSystem(
            description=self.description,
            stands_for=self.stands_for,
            attach=self.attach,
            promises=self.promises,
            known_broken=self.known_broken,
            name=self.name,
        )


@dataclass(frozen=True, kw_only=True)
class AttachedSystem(Topology):
    """An existing system in the place of a topology.

    Its roles are those of the machines that may be broken, and nobody knows their products. `workbench` is there
    because every topology has nodes; it says nothing about this one.
    """

    attach: Attach
    workbench: Workbench = field(default=Workbench(), repr=False)

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """What can be measured of its product."""
        return self.attach.session.CAPABILITIES

    @property
    def caveat(self) -> str:
        """What every report must say of how it was measured."""
        return _EXPERIMENTAL if isinstance(self.attach.session, PositWorkbenchSession) else ""

    def roles(self) -> tuple[Role, ...]:
        """The roles of the machines that may be broken."""
        return tuple(role for role in Role if self.members(role))

    def members(self, role: Role) -> tuple[str, ...]:
        """The machines of a role that may be broken, in the order of the file."""
        machines = self.attach.machines
        return tuple(name for name in machines if machines[name].role is role and name in self.attach.allow)

    def size(self, role: Role) -> int:
        """How many of them there are."""
        return len(self.members(role))

    def file(self) -> AttachFile:
        """The same as what stands in its file."""
        return AttachFile(
            description=self.description,
            stands_for=self.stands_for,
            attach=self.attach,
            promises=self.promises,
            known_broken=self.known_broken,
            name=self.name,
        )
