"""A release that never gets healthy, on purpose: its configuration ends the hub."""

raise RuntimeError("this release never gets healthy, on purpose")
