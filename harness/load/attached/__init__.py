"""The load on an existing system: the same people with accounts that somebody gave, instruments at a low rate."""
