"""
Amounts of memory and of CPU time, as scores write them.

A unit is never guessed: 128 could be bytes or mebibytes, and Kubernetes' own
``128m`` of memory is an eighth of a byte. Amounts are whole numbers.
"""

import re

_MEMORY_UNITS = {
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
}

_MEMORY = "[1-9][0-9]{0,8}(Ki|Mi|Gi|k|M|G)"
MEMORY_PATTERN = f"^{_MEMORY}$"
MEMORY_OR_NONE_PATTERN = f"^({_MEMORY})?$"
MEMORY_SAYS = "a whole number with a unit of Ki, Mi, Gi, k, M or G, such as 128Mi"
# The kernel gives out a millisecond at least of every tenth of a second.
CPUS_PATTERN = "^([1-9][0-9]{0,6}|[1-9][0-9]{1,6}m)$"
CPUS_SAYS = "a whole number of CPUs, such as 2, or of thousandths with m, such as 500m, from 10m on"


def memory_bytes(text: str) -> int:
    """
    Read an amount of memory: ``128Mi`` is 134217728.

    :raises ValueError: it isn't one.
    """
    match = re.fullmatch(MEMORY_PATTERN, text)
    if not match:
        raise ValueError(f"{text!r} is not {MEMORY_SAYS}")
    return int(text.removesuffix(match[1])) * _MEMORY_UNITS[match[1]]


def thousandths_of_cpu(text: str) -> int:
    """
    Read an amount of CPU time: ``500m`` is 500, ``2`` is 2000.

    :raises ValueError: it isn't one.
    """
    if not re.fullmatch(CPUS_PATTERN, text):
        raise ValueError(f"{text!r} is not {CPUS_SAYS}")
    return int(text[:-1]) if text.endswith("m") else int(text) * 1000
