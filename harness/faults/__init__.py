"""What is broken, with proof and undo: the life cycle in `base`, one module a family of faults, the agent that acts.

Everything here runs inside the agent's container too, so it uses the standard library and `harness.core` only.
"""
