"""What `harness calibrate` breaks and measures: a server of which it is known when it was really away, and its probes.

Three programs, each the conversation of a container of its own: `server`, `witness` and `probes`.
"""
