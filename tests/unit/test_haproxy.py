"""The load balancer as a component, without Docker."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.components import haproxy, haproxy_config
from harness.core.products import LoadBalancer, Workbench
from tests.unit.pair import TOPOLOGY, planned


def test_haproxy_config_is_rendered_from_the_role() -> None:
    balancer = LoadBalancer(check_interval_s=0.25, check_timeout_s=1.5, check_fall=4, check_rise=3)
    text = planned(replace(TOPOLOGY, load_balancer=balancer))["load-balancer"].files[haproxy.CONFIG_PATH]
    lines = [line.strip() for line in text.splitlines()]
    assert "default-server inter 250ms rise 3 fall 4 on-marked-down shutdown-sessions" in lines
    assert "timeout check 1500ms" in lines
    assert [line for line in lines if line.startswith("server ")] == [
        "server workbench-0 10.71.4.11:8000 check port 8002 cookie workbench-0",
        "server workbench-1 10.71.4.12:8000 check port 8002 cookie workbench-1",
    ]
    for line in (
        "bind :80",
        "option httpchk GET /active",
        "option redispatch 1",
        "http-response set-header X-Workbench-Node %s",
        "timeout tunnel 1h",
        "log stdout format raw local0",
        "stats socket /run/haproxy/admin.sock mode 600 level admin",
    ):
        assert line in lines
    assert text.endswith("workbench-1\n"), "HAProxy refuses a last line without its end"


@pytest.mark.parametrize("changes", [{}, {"tls": True}, {"nodes": 2, "vip": True}])
def test_the_statistics_are_read_only_and_answer_nothing_else(changes: Mapping[str, Any]) -> None:
    topology = replace(TOPOLOGY, load_balancer=LoadBalancer(**changes))
    for name in haproxy.names(topology):
        text = planned(topology)[name].files[haproxy.CONFIG_PATH]
        statistics, _, _ = text.partition("frontend statistics\n")[2].partition("\n\n")
        assert [line.strip() for line in statistics.splitlines()] == [
            "bind :8404",
            "timeout client 5s",
            "http-request set-log-level silent",
            "http-request deny unless METH_GET { path /statistics;csv }",
            "stats enable",
            "stats uri /statistics",
        ]
        assert "no log" not in text, "HAProxy warns about it beside `option httplog`"


def test_the_balancer_knows_the_fixed_addresses_of_all_nodes() -> None:
    spec = planned(replace(TOPOLOGY, workbench=Workbench(nodes=3)))["load-balancer"]
    text = spec.files["/etc/haproxy/haproxy.cfg"]
    assert re.findall(r"server (\S+) (\S+)", text)[-3:] == [
        ("workbench-0", "10.71.4.11:8000"),
        ("workbench-1", "10.71.4.12:8000"),
        ("workbench-2", "10.71.4.13:8000"),
    ]
    assert spec.depends_on == (), "it waits for its nodes by itself"


#: Of HAProxy 2.6: workbench-1 has been down for long, workbench-2 just left `maint` and is drained.
SERVERS_STATE = """\
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight
4 workbench 1 workbench-0 10.71.4.11 2 0 1 1
4 workbench 2 workbench-1 10.71.4.12 0 0 1 1
4 workbench 3 workbench-2 10.71.4.13 2 8 0 1
5 sessions 1 workbench-0 10.71.4.11 2 0 1 1
5 sessions 2 workbench-1 10.71.4.12 2 0 1 1
5 sessions 3 workbench-2 10.71.4.13 0 0 1 1
"""


@pytest.mark.parametrize(("session_check", "down"), [("same", {"workbench-1"}), ("tcp", set())])
def test_a_node_is_down_where_no_way_that_is_used_leads_to_it(session_check: Any, down: set[str]) -> None:
    balancer = LoadBalancer(session_check=session_check)
    assert haproxy_config.seen_down(balancer, SERVERS_STATE) == down
    everywhere = SERVERS_STATE.replace("10.71.4.12 2", "10.71.4.12 0")
    assert haproxy_config.seen_down(balancer, everywhere) == {"workbench-1"}
    assert haproxy_config.seen_down(balancer, "") == frozenset(), "who says nothing has seen nothing"
