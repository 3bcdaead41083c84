"""A platform that people reach by https: its certificates, who verifies them, and the fault of one that expired."""

from __future__ import annotations

import http.server
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from harness.components import client, haproxy, plan
from harness.components.certificates import certificates
from harness.components.registry import entrance
from harness.core.clock import FakeClock
from harness.core.experiment import Experiment, Fault
from harness.core.products import LoadBalancer
from harness.core.specs import ContainerSpec, NodeContext
from harness.core.tls import AUTHORITY_PATH, EXPIRED_PATH, SERVED_PATH
from harness.core.topology import Topology
from harness.faults.base import Aim
from harness.faults.host import GuardError
from harness.faults.kinds.certificates import CertificateExpiry
from harness.faults.rehearsal import RehearsalHost
from harness.load.failures import FAILURES, describe
from harness.load.jupyterhub import AUTHORITY_VARIABLE, JupyterHubClient
from harness.run.dry import plan_lines
from harness.spec import load_topology
from tests.unit.pair import CONTEXT, TOPOLOGY

TLS = replace(TOPOLOGY, load_balancer=LoadBalancer(tls=True))


def planned(topology: Topology, context: NodeContext = CONTEXT) -> dict[str, ContainerSpec]:
    return {spec.name: spec for spec in plan(topology, context)}


# -- what is planned -----------------------------------------------------------------------------------------------


def test_without_tls_there_is_no_certificate_anywhere() -> None:
    for spec in planned(TOPOLOGY).values():
        assert not [path for path in spec.files if path.endswith(".pem")]
        assert "BEGIN" not in "".join(spec.files.values())
        assert "PLATFORM_AUTHORITY" not in spec.environment
    assert "https" not in planned(TOPOLOGY)["load-balancer"].files[haproxy.CONFIG_PATH]
    assert entrance(TOPOLOGY) == ("http", "load-balancer", 80, "/hub/login")


def test_with_tls_the_balancer_serves_https_and_tells_the_nodes() -> None:
    lines = [line.strip() for line in planned(TLS)["load-balancer"].files[haproxy.CONFIG_PATH].splitlines()]
    assert f"bind :443 ssl crt {SERVED_PATH} ssl-min-ver TLSv1.2 alpn http/1.1" in lines
    assert "http-request set-header X-Forwarded-Proto https" in lines
    assert r"http-response replace-header Set-Cookie '^((?:(?!; *[Ss]ecure).)+)$' '\1; Secure'" in lines
    assert "bind :80" not in lines
    assert entrance(TLS) == ("https", "load-balancer", 443, "/hub/login")


def test_only_the_balancer_has_the_key_and_the_client_has_the_authority() -> None:
    specs = planned(TLS)
    keys = {name: [p for p, text in spec.files.items() if "PRIVATE KEY" in text] for name, spec in specs.items()}
    assert {name: paths for name, paths in keys.items() if paths} == {"load-balancer": [SERVED_PATH, EXPIRED_PATH]}
    authority = specs["client"].files[client.AUTHORITY_PATH]
    assert authority == specs["load-balancer"].files[AUTHORITY_PATH]
    assert "PRIVATE" not in authority
    environment = specs["client"].environment
    assert environment["PLATFORM_URLS"] == "https://10.71.4.5"
    assert environment[AUTHORITY_VARIABLE] == client.AUTHORITY_PATH
    # by plain http: a certificate that expired must not hide what the balancer believes
    assert environment["BALANCER_STATISTICS"] == "http://10.71.4.5:8404/statistics;csv#load-balancer"


def test_a_plan_with_certificates_is_pure() -> None:
    assert plan(TLS, CONTEXT) == plan(TLS, CONTEXT)


def test_every_run_has_keys_of_its_own() -> None:
    other = replace(CONTEXT, secrets={**CONTEXT.secrets, "TLS_SECRET": "another"})
    one, two = certificates(CONTEXT, "10.71.4.5"), certificates(other, "10.71.4.5")
    assert not set(pems(one.served)) & set(pems(two.served))
    assert one.authority != two.authority


def test_the_expired_certificate_has_the_same_key() -> None:
    made = certificates(CONTEXT, "10.71.4.5")
    assert pems(made.served)[1] == pems(made.expired)[1]
    assert pems(made.served)[0] != pems(made.expired)[0]


def test_a_dry_run_shows_the_plan_and_the_fault() -> None:
    fault = Fault(fault="certificate_expiry", target="load_balancer[holder]", at_s=5, hold_s=20)
    lines = list(plan_lines(TLS, [Experiment(description="d", source="s", faults=(fault,), name="expiry")], []))
    assert len([line for line in lines if "set ssl cert" in line]) == 2
    assert "BEGIN" not in "".join(lines)


def pems(text: str) -> list[str]:
    return re.findall(r"-----BEGIN .*?-----END [A-Z ]+-----", text, re.DOTALL)


# -- who verifies --------------------------------------------------------------------------------------------------


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that ends the handshake is what is tested, nothing to print."""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Serve https with a certificate; returns where."""
    running: list[tuple[_Server, threading.Thread]] = []

    def go(pem: str) -> str:
        file = tmp_path / "server.pem"
        file.write_text(pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        server = _Server(("127.0.0.1", 0), _Page)
        server.daemon_threads = True
        # the handshake in the request's own thread, so that one that fails ends no other
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return f"https://127.0.0.1:{server.server_port}"

    yield go
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], JupyterHubClient]]:
    """Somebody who trusts the run's authority."""
    authority = tmp_path / "authority.pem"
    authority.write_text(certificates(CONTEXT, "10.71.4.5").authority)
    monkeypatch.setenv(AUTHORITY_VARIABLE, str(authority))
    people: list[JupyterHubClient] = []

    def go(url: str) -> JupyterHubClient:
        people.append(JupyterHubClient(url, "ada", "secret"))
        return people[-1]

    yield go
    for one in people:
        one.close()


def test_the_right_certificate_is_accepted(
    serve: Callable[[str], str], browser: Callable[[str], JupyterHubClient]
) -> None:
    assert browser(serve(certificates(CONTEXT, "10.71.4.5").served)).logged_in()


def test_an_expired_certificate_is_the_platforms_failure_and_says_so(
    serve: Callable[[str], str], browser: Callable[[str], JupyterHubClient]
) -> None:
    person = browser(serve(certificates(CONTEXT, "10.71.4.5").expired))
    with pytest.raises(FAILURES) as page:
        person.logged_in()
    assert describe(page.value) == "SSLError: certificate has expired"
    person.kernel_id = "k1"
    with pytest.raises(FAILURES) as socket:
        person.connect()
    assert describe(socket.value) == "SSLCertVerificationError: certificate has expired"


def test_a_certificate_of_another_authority_is_refused(
    serve: Callable[[str], str], browser: Callable[[str], JupyterHubClient]
) -> None:
    other = replace(CONTEXT, secrets={**CONTEXT.secrets, "TLS_SECRET": "another"})
    with pytest.raises(requests.exceptions.SSLError) as caught:
        browser(serve(certificates(other, "10.71.4.5").served)).logged_in()
    assert describe(caught.value) == "SSLError: unable to get local issuer certificate"


def test_other_failures_of_tls_have_their_names() -> None:
    broken = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:992)")
    assert describe(broken) == "SSLError: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:992)"
    broken.reason = "WRONG_VERSION_NUMBER"  # as the ssl module sets it
    assert describe(broken) == "SSLError: WRONG_VERSION_NUMBER"


# -- the fault -----------------------------------------------------------------------------------------------------


def test_a_balancer_without_a_certificate_is_refused() -> None:
    fault = Fault(fault="certificate_expiry", target="load_balancer[holder]", at_s=5, hold_s=20)
    assert "say `load_balancer: {tls: true}`" in CertificateExpiry().refusal(TOPOLOGY, fault)
    assert CertificateExpiry().refusal(TLS, fault) == ""


def test_a_balancer_that_was_restarted_is_left_alone() -> None:
    host = RehearsalHost(FakeClock().now_ns, "abc123")
    fault = CertificateExpiry()
    state = fault.prepare(host, Aim(target="load-balancer", tag="chaos-abc123-0"))
    fault.inject(host, state)
    with pytest.raises(GuardError, match="not right even now: certificate has expired"):
        fault.prepare(host, Aim(target="load-balancer", tag="chaos-abc123-1"))
    host.machines.restart(host.machines.look("load-balancer").id)
    before = list(host.paper.commands)
    fault.undo(host, state)
    assert host.paper.commands == before
    assert fault.confirm_recovery(host, state).shown


def test_the_topology_of_the_tests_says_so() -> None:
    root = Path(__file__).resolve().parents[2]
    for path, tls in (
        ("tests/e2e/topologies/active-passive-tls.yaml", True),
        ("topologies/active-passive.yaml", False),
    ):
        balancer = load_topology(root / path).load_balancer
        assert balancer is not None
        assert balancer.tls is tls
