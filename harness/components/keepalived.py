"""keepalived on the two members of a pair: which of them holds the virtual address (VRRPv3, RFC 5798).

Nothing here knows what the pair serves: the product says which command tells whether a member may hold the address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["CAPABILITIES", "CONFIG_PATH", "HOLDER_PROBE", "VIRTUAL_ADDRESS", "config", "peer_of"]

#: Where the images look for it; without it a container is no member of a pair, and they start no keepalived.
CONFIG_PATH: Final = "/etc/keepalived/keepalived.conf"
#: To put the address on the interface, and to send VRRP's packets and gratuitous ARP.
CAPABILITIES: Final = ("NET_ADMIN", "NET_RAW")
#: The variable by which the images' `ready` knows that address.
VIRTUAL_ADDRESS: Final = "VIRTUAL_ADDRESS"
#: Exits 0 exactly on whom the kernel has given the virtual address to: no other address of a container is a /32.
HOLDER_PROBE: Final = ("sh", "-c", "ip -o -4 address show | grep -q '/32 '")

#: Of member 0; the next has 10 less. Both are high, because a backup waits for (256 - priority) / 256 of an interval
#: beyond the three silent ones; and they differ, so that two that start at the same moment do not both take it.
_PRIORITY: Final = 250
_PRIORITY_STEP: Final = 10
#: Whole seconds are all that keepalived 2.2 takes here, so this is the shortest. It is most of what it takes until a
#: dead program is noticed on a machine that lives: half a second on average.
_CHECK_INTERVAL_S: Final = 1

# - `state BACKUP` and `nopreempt` on both: a machine that was repaired does not take the address back, which would cut
#   everybody's connections a second time.
# - unicast: what faults do to packets between two machines is told by their addresses.
# - gratuitous ARP, thrice at once, thrice a second later, and then once a second: a neighbour ignores what contradicts
#   what it learned within the last second, and a former holder that is cut off by filters, or frozen, goes on answering
#   ARP for the address.
# - a check that fails once is enough; whoever may be slow on a busy machine is asked twice by the check itself.
_TEMPLATE: Final = """\
global_defs {{
  router_id {name}
  vrrp_version 3
  script_user root
  enable_script_security
  vrrp_garp_master_repeat 3
  vrrp_garp_master_delay 1
  vrrp_garp_master_refresh 1
}}

vrrp_script may_hold {{
  script "{check}"
  interval {check_interval_s}
  timeout {check_interval_s}
  fall 1
  rise 1
}}

vrrp_instance pair {{
  state BACKUP
  nopreempt
  interface eth0
  virtual_router_id {router_id}
  priority {priority}
  advert_int {interval_s:g}
  unicast_src_ip {own}
  unicast_peer {{
    {peer}
  }}
  virtual_ipaddress {{
    {virtual}/32 dev eth0
  }}
  track_script {{
    may_hold
  }}
{notify}}}
"""
_NOTIFY: Final = """\
  notify_master "{program} held"
  notify_backup "{program} lost"
  notify_fault "{program} lost"
  notify_master_rx_lower_pri "{program} contested"
"""


def config(
    name: str,
    members: Mapping[str, str],
    *,
    virtual: str,
    router_id: int,
    interval_s: float,
    check: str,
    notify: str = "",
) -> str:
    """The configuration of the member called `name`.

    `members` has the own addresses of both by name, member 0 first. `router_id` (1 to 255) tells this pair from others
    on the network. `interval_s` is how often the holder says that it is there, to 10 ms, which is VRRPv3's resolution.
    `check` is the command line that exits 0 while the member may hold the address, within a second. `notify`, if any,
    is a program that is told: `held` (from now on by this member), `lost` (it does not hold it, or not any more),
    `contested` (it holds the address, and so did the other one meanwhile).
    """
    return _TEMPLATE.format(
        name=name,
        check=check,
        check_interval_s=_CHECK_INTERVAL_S,
        router_id=router_id,
        priority=_PRIORITY - _PRIORITY_STEP * list(members).index(name),
        interval_s=round(interval_s, 2),
        own=members[name],
        peer=members[peer_of(name, members)],
        virtual=virtual,
        notify=_NOTIFY.format(program=notify) if notify else "",
    )


def peer_of(name: str, members: Mapping[str, str]) -> str:
    """The name of the other one."""
    (peer,) = (other for other in members if other != name)
    return peer
