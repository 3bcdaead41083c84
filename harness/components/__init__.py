"""Turns a role of a topology into container specs, with pure functions."""

from harness.components.base import SECRETS, generate_secrets
from harness.components.registry import active_probe, images, members, plan, readback

__all__ = ["SECRETS", "active_probe", "generate_secrets", "images", "members", "plan", "readback"]
