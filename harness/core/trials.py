"""What the command line must know of trials before anything is measured."""

from __future__ import annotations

from typing import Final

__all__ = ["EARLY_AT_LEAST"]

#: An interval is looked at from so many trials on; t(0.975) is 12.7 at two values and 2.8 at five.
EARLY_AT_LEAST: Final = 5
