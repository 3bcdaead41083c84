"""Database servers under Patroni, asked through its REST interface from inside their own machine."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from urllib.parse import urlsplit

from harness.errors import PeerError
from harness.faults.agent.namespaces import in_network_of
from harness.faults.host.cluster import HERE, ClusterMember

__all__ = ["RealCluster"]

_PORT = 8008
#: Patroni answers in some ms, on a busy machine in some tens; this bounds one look of many.
_ANSWER_TIMEOUT_S = 0.5
#: What the cluster is, it asks etcd first, for up to `retry_timeout_s`, 3 s at the least.
_CLUSTER_TIMEOUT_S = 3.5
#: A demand that is refused is so at once. One that is not is answered when the hand-over is done, after 1 s at least
#: (`poll_failover_result`), and nothing is gained by waiting: Patroni goes on without anybody who listens.
_REFUSAL_TIMEOUT_S = 0.25


class RealCluster:
    """See `harness.faults.host.cluster.Cluster`. Needs CAP_SYS_ADMIN."""

    def members(self, pid: int) -> Sequence[ClusterMember]:
        status, body = in_network_of(pid, lambda: _ask("GET", HERE, "/cluster", _CLUSTER_TIMEOUT_S))
        if status != http.client.OK:
            return []
        return [
            ClusterMember(
                name=member["name"],
                address=urlsplit(member["api_url"]).hostname or "",
                leader=member["role"] == "leader",
                state=member["state"],
            )
            for member in json.loads(body)["members"]
        ]

    def is_primary(self, pid: int, address: str = HERE) -> bool:
        return in_network_of(pid, lambda: _ask("GET", address, "/primary"))[0] == http.client.OK

    def switch_over(self, pid: int, leader: str) -> None:
        in_network_of(pid, lambda: _demand(leader))


def _ask(method: str, address: str, path: str, timeout_s: float = _ANSWER_TIMEOUT_S) -> tuple[int, bytes]:
    """Status and body; status 0 if there is no answer in time."""
    connection = http.client.HTTPConnection(address, _PORT, timeout=timeout_s)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""  # a server that is down, hangs or starts: that is what the one who asks wants to know
    finally:
        connection.close()


def _demand(leader: str) -> None:
    connection = http.client.HTTPConnection(HERE, _PORT, timeout=_REFUSAL_TIMEOUT_S)
    try:
        connection.request("POST", "/switchover", json.dumps({"leader": leader}))
        answer = connection.getresponse()
        status, text = answer.status, answer.read().decode(errors="replace")
    except TimeoutError:
        return
    except (OSError, http.client.HTTPException) as error:
        raise PeerError(f"Patroni of {leader} could not be asked for a switchover: {error}") from error
    finally:
        connection.close()
    if status != http.client.OK:
        raise PeerError(f"Patroni of {leader} refuses a switchover with {status}: {text}")
