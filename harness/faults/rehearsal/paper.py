"""What all families of the rehearsal write on: commands, and what is out of order because of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

__all__ = ["Paper"]


class Paper:
    """One sheet for one host."""

    def __init__(self, now_ns: Callable[[], int], on_change: Callable[[str], None] = lambda _name: None) -> None:
        self.now_ns = now_ns
        self.on_change = on_change
        """Called with a container's name whenever something about it was changed."""
        self.inert = False
        """Whatever is done has no effect: for tests of whether a fault notices."""
        self.commands: list[str] = []
        """What was done, as a person would type it."""
        self.wrong: dict[tuple[str, Hashable], Any] = {}
        """What is not as it should be: (what, where) -> how."""
        self._until_restart: set[tuple[str, Hashable]] = set()

    def do(self, command: str) -> bool:
        """Note a command; False if it must have no effect."""
        self.commands.append(command)
        return not self.inert

    def break_(self, what: str, where: Hashable, how: Any = True, *, until_restart: bool = False) -> None:
        """Something is not as it should be from now on; `until_restart`: the machine `where` loses it when it boots."""
        self.wrong[what, where] = how
        if until_restart:
            self._until_restart.add((what, where))
        self.on_change(str(where))

    def mend(self, what: str, where: Hashable) -> None:
        """It is as it should be again; what was never broken is fine."""
        if self.wrong.pop((what, where), None) is not None:
            self.on_change(str(where))

    def restarted(self, where: Hashable) -> None:
        """A machine booted: mend what does not outlive that."""
        for what, place in [entry for entry in self._until_restart if entry[1] == where]:
            self._until_restart.discard((what, place))
            self.mend(what, place)

    def is_wrong(self, what: str, where: Hashable) -> bool:
        """Whether that is so."""
        return (what, where) in self.wrong

    def untouched(self) -> bool:
        """Everything is as it should be."""
        return not self.wrong
