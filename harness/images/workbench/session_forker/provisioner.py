"""Kernels of a forked server are forked as well."""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

from session_forker.processes import start_ticks
from session_forker.request import LAUNCHER, ForkedProcess, Request, fork

__all__ = ["ForkedProvisioner", "register"]

NAME = "forked-provisioner"
#: As long as jupyter_client waits for a kernel (KernelManager.startup_timeout).
LIMIT_S = 60.0


class ForkedProvisioner(LocalProvisioner):
    """Has IPython kernels forked; kernels of other languages are started as ever."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        if LAUNCHER not in cmd:
            return await super().launch_kernel(cmd, **kwargs)
        own = os.getpid()
        environment = {**(kwargs.get("env") or os.environ)}
        environment.pop("JPY_PARENT_PID", None)
        request = Request(
            kind="kernel",
            arguments=cmd,
            environment=environment,
            folder=str(kwargs.get("cwd") or Path.cwd()),
            lives_with=(own, start_ticks(own)),
        )
        process: Any = ForkedProcess(await fork(request, LIMIT_S))
        self.process = process
        self.pid = self.pgid = process.pid
        self.cwd = Path(request.folder)
        return self.connection_info


def register() -> None:
    """Makes the provisioner known under its name, which the servers' configuration asks for."""
    KernelProvisionerFactory.provisioners[NAME] = EntryPoint(
        NAME, f"{__name__}:{ForkedProvisioner.__name__}", KernelProvisionerFactory.GROUP_NAME
    )
