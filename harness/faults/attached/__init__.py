"""Faults of an existing system: done by the means that its file names, and by no other."""
