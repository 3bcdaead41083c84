"""What tools and services on a host are fed with, as pure functions: the agent sends it, a rehearsal prints it."""
