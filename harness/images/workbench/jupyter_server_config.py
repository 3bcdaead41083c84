"""Single-user servers: as light as they start, and never ended but by their user or by a fault."""

c = get_config()  # noqa: F821 - given by traitlets

c.ServerApp.jpserver_extensions = {"jupyter_server_terminals": False}
c.ServerApp.terminals_enabled = False
c.ServerApp.open_browser = False
c.ServerApp.log_level = "WARN"

# A session that was culled would be told from one that a fault ended by nobody.
c.ServerApp.shutdown_no_activity_timeout = 0
c.MappingKernelManager.cull_idle_timeout = 0

# Sockets in the file system instead of TCP ports: a server draws a port that is free and the kernel binds it later, so
# of many that start at once two may be given the same one. Such a kernel dies, and its person waits for half a minute
# (seen once among some 150 that came back to one node at once).
c.KernelManager.transport = "ipc"

# Output is never held back: the load measures the platform, not this guard.
c.ZMQChannelsWebsocketConnection.limit_rate = False
