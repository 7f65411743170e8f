"""
Mutants that nobody could tell from the original, each with the reason. Decides only.

`invoke test.mutants` leaves them out of its score and of what it shows, so that a new survivor
stands out. An entry names the module, the function, and the line that stood there instead.
"""

from collections.abc import Mapping
from typing import Final

EQUIVALENT: Final[Mapping[tuple[str, str, str], str]] = {}
