"""Turns a role of a topology into container specs, with pure functions."""

from harness.components.base import SECRETS, generate_secrets
from harness.components.registry import database_readback, images, member_probe, members, plan, readback

__all__ = [
    "SECRETS",
    "database_readback",
    "generate_secrets",
    "images",
    "member_probe",
    "members",
    "plan",
    "readback",
]
