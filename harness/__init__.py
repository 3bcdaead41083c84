"""Measures how highly available a data-science platform really is.

`docs/architecture.md` shows the packages and who may import whom.
"""

__version__ = "0.1.0"
