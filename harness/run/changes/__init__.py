"""Planned changes of a platform while people work on it: another release of its software, more nodes, fewer nodes."""
