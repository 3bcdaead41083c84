"""The hub of one node: the supervisor starts it while the node holds the lease."""

import os
import sys

sys.path.insert(0, "/opt/node")
from node_spawner import NodeLocalSpawner
from node_supervisor.settings import Settings

c = get_config()  # noqa: F821 - given by traitlets
settings = Settings.from_environment(os.environ)

# The proxy is a process of its own, kept by the supervisor: open sessions do not notice a hub's restart.
c.JupyterHub.bind_url = "http://:8000"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{settings.hub_port}"
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{settings.proxy_api_port}"
c.ConfigurableHTTPProxy.auth_token = settings.proxy_token
c.JupyterHub.cleanup_servers = False
c.JupyterHub.cleanup_proxy = False

# In active-passive one database and one cookie secret for all nodes: whoever is logged in stays so after a takeover.
c.JupyterHub.db_url = settings.sqlalchemy_url
if settings.has_server:
    c.JupyterHub.db_kwargs = {"connect_args": settings.connect_arguments}
# Only where a release takes over from another one: elsewhere a database of another release is a mistake.
c.JupyterHub.upgrade_db = os.environ.get("HUB_UPGRADE") == "yes"
c.JupyterHub.cookie_secret = bytes.fromhex(settings.cookie_secret)

c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = os.environ["USER_PASSWORD"]
c.Authenticator.allow_all = True

c.JupyterHub.spawner_class = NodeLocalSpawner
c.NodeLocalSpawner.node_name = settings.node_name
c.NodeLocalSpawner.session_start = settings.session_start.value
c.NodeLocalSpawner.home_dir_template = "/homes/{username}"
c.Spawner.cmd = ["/opt/workbench/bin/jupyterhub-singleuser"]
c.Spawner.default_url = "/api/status"
c.Spawner.start_timeout = 120
c.Spawner.http_timeout = 60
# The guard ends a hub after failures in a row; here they are the experiment, not a bad configuration.
c.Spawner.consecutive_failure_limit = 0
c.Spawner.environment = {
    "JUPYTERHUB_SINGLEUSER_APP": "jupyter_server.serverapp.ServerApp",
    "JUPYTERHUB_ACTIVITY_INTERVAL": "600",
    # Connection files are worthless after a restart and need no network file system.
    "JUPYTER_RUNTIME_DIR": lambda spawner: f"/run/node/sessions/{spawner.user.name}",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    # One thread a session for the numeric libraries: a hundred sessions share a few cores.
    "OMP_NUM_THREADS": "1",
}
# A clock that can be set is everybody's, where an experiment needs one.
c.Spawner.env_keep.append("LD_PRELOAD")
c.JupyterHub.concurrent_spawn_limit = 1000
c.JupyterHub.active_server_limit = 0
# Servers left behind are recognised by their state in no time; the living are checked in the background.
c.JupyterHub.init_spawners_timeout = 1

c.JupyterHub.last_activity_interval = 600
c.JupyterHub.service_check_interval = 60
c.JupyterHub.log_level = "INFO"

# The supervisor asks the hub to fill a restarted proxy. The token is derived, so that both nodes agree on it.
c.JupyterHub.services = [
    {"name": "node-supervisor", "api_token": settings.service_token, "display": False},
]
c.JupyterHub.load_roles = [
    {"name": "proxy-sync", "scopes": ["proxy"], "services": ["node-supervisor"]},
]

# What a release or a site adds to all of this comes last.
load_subconfig("/opt/node/site_config.py")  # noqa: F821 - given by traitlets
