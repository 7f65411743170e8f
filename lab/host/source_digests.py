"""Digests of this checkout's source, so that a part is replaced when its code has changed."""

from pathlib import Path

import fleet
from lab.host import files

_PACKAGE = Path(fleet.__file__).parent


def digest(*packages: str) -> str:
    """Return the digest of ``fleet``'s own modules and of the subpackages named."""
    found = [*_PACKAGE.glob("*.py")]
    for package in packages:
        found += (_PACKAGE / package).rglob("*.py")
    return files.digest(
        *(
            part
            for path in sorted(found)
            for part in (str(path.relative_to(_PACKAGE)), path.read_bytes())
        )
    )
