"""
The labels of a device: what Kubernetes takes as one, and which keys aren't a device's to set.

A selector that names a key which no device can have would select none, or, where the
key must not be there, all of them: so selectors, devices and configurations are checked alike.
"""

from fleet.contracts.checking import Form

RESERVED_DOMAINS = ("nationtech.io", "kubernetes.io")
MAX_DOMAIN = 253

_NAME = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_PART = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
KEY = Form(
    f"^({_PART}([.]{_PART})*/)?{_NAME}$",
    "a label key like site or example.org/site: at most 63 letters, digits, '-', '_' and '.',"
    " after a domain or none",
)
VALUE = Form(
    f"^({_NAME})?$",
    "a label value: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a"
    " letter or a digit, or none",
)


def is_key(key: str) -> bool:
    """Tell whether an object of Kubernetes can have a label *key*."""
    return len(_domain(key)) <= MAX_DOMAIN and KEY.fits(key)


def is_reserved(key: str) -> bool:
    """Tell whether *key* is not a device's to set."""
    domain = _domain(key)
    return any(domain == d or domain.endswith(f".{d}") for d in RESERVED_DOMAINS)


def _domain(key: str) -> str:
    return key.rpartition("/")[0]
