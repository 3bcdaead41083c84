"""The certificate that a real HAProxy serves, seen by a client in another container."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import docker
import pytest

from harness.components import client, haproxy
from harness.components.base import generate_secrets
from harness.core.names import AGENT_ROLE
from harness.core.specs import NodeContext, ReadyProbe
from harness.core.tls import EXPIRED_PATH
from harness.errors import PeerError
from harness.runtime.docker import DockerDeployment, DockerRuntime
from harness.spec.loader import load_topology
from tests.conftest import ROOT, eventually
from tests.integration.rig import break_it, mend_it, pid_of, step

TOPOLOGY = load_topology(ROOT / "tests/e2e/topologies/active-passive-tls.yaml")
VERIFIED = "verified"
#: The observer: Python's own ssl, with the authority that the load client has.
LOOK = f"""
import socket, ssl, sys
context = ssl.create_default_context(cafile={client.AUTHORITY_PATH!r})
try:
    with socket.create_connection((sys.argv[1], 443), 2) as plain:
        context.wrap_socket(plain, server_hostname=sys.argv[1]).close()
    print({VERIFIED!r})
except ssl.SSLCertVerificationError as error:
    print(error.verify_message)
"""
EXPIRED = "certificate has expired"


@pytest.fixture
def tls_balancer(deployment: DockerDeployment, runtime: DockerRuntime) -> Callable[[], str]:
    """A balancer without nodes beside the idle machine; what a client finds of its certificate."""
    runtime.ensure_images([haproxy.IMAGE, client.IMAGE], lambda *_: None)
    context = NodeContext(run_id=deployment.run_id, subnet_prefix=deployment.subnet_prefix, secrets=generate_secrets())
    (balancer,) = haproxy.containers(TOPOLOGY, context)
    nobody = ReadyProbe(argv=("/usr/local/bin/ready", "/hub/login", "503"), proves="it answers by https")
    (people,) = client.containers(TOPOLOGY, context)
    observer = replace(people, command=("sleep", "600"), conversation=False, depends_on=())
    deployment.start([replace(balancer, ready=nobody, depends_on=()), observer], lambda *_: None)
    argv = ["/usr/bin/python3", "-I", "-c", LOOK, context.address(balancer.host_number)]

    def look() -> str:
        return deployment.execute(client.NAME, argv).output.strip()

    return look


def test_an_expired_certificate_is_served_until_undone(
    deployment: DockerDeployment, tls_balancer: Callable[[], str]
) -> None:
    assert tls_balancer() == VERIFIED
    injected = break_it(deployment, "certificate_expiry", haproxy.NAME)
    assert tls_balancer() == EXPIRED
    deployment.agent.call("fault", step="undo", index=0, timeout_s=40)
    assert tls_balancer() == VERIFIED
    mend_it(deployment)  # a second time, which harms nobody
    assert tls_balancer() == VERIFIED
    print(f"certificate_expiry: {(injected['after_ns'] - injected['before_ns']) / 1e6:.2f} ms")


def test_a_balancer_that_was_started_anew_has_the_right_certificate(
    deployment: DockerDeployment, tls_balancer: Callable[[], str]
) -> None:
    break_it(deployment, "certificate_expiry", haproxy.NAME)
    break_it(deployment, "restart", haproxy.NAME, index=1)
    eventually(lambda: tls_balancer() == VERIFIED, "the balancer serves again")
    step(deployment, "undo", index=0)
    step(deployment, "confirm_recovery", index=0)
    assert tls_balancer() == VERIFIED


def test_a_balancer_that_is_paused_takes_the_right_certificate_when_it_goes_on(
    deployment: DockerDeployment, engine: docker.DockerClient, tls_balancer: Callable[[], str]
) -> None:
    break_it(deployment, "certificate_expiry", haproxy.NAME)
    break_it(deployment, "pause", haproxy.NAME, index=1)
    with pytest.raises(PeerError, match="does not answer"):
        step(deployment, "undo", index=0)
    mend = step(deployment, "undo", index=1)
    assert mend["ok"]
    assert pid_of(engine, deployment, haproxy.NAME)
    step(deployment, "undo", index=0)
    step(deployment, "confirm_recovery", index=0)
    assert tls_balancer() == VERIFIED


def test_without_the_agent_nothing_expires(deployment: DockerDeployment, tls_balancer: Callable[[], str]) -> None:
    """The expired certificate lies there, readable for nobody but root."""
    shown = deployment.execute(haproxy.NAME, ["stat", "-c", "%a %U", EXPIRED_PATH]).output.split()
    assert shown == ["600", "root"]
    assert tls_balancer() == VERIFIED
    inspection = str(deployment.inspect(haproxy.NAME)) + str(deployment.inspect(AGENT_ROLE))
    assert "PRIVATE KEY" not in inspection
    assert "PRIVATE KEY" not in deployment.log(haproxy.NAME)


def test_a_certificate_that_is_wrong_already_is_not_broken_further(
    deployment: DockerDeployment, tls_balancer: Callable[[], str]
) -> None:
    break_it(deployment, "certificate_expiry", haproxy.NAME)
    with pytest.raises(PeerError, match="the certificate is not right even now: certificate has expired"):
        step(deployment, "prepare", index=1, fault="certificate_expiry", targets=[haproxy.NAME])
    mend_it(deployment)
