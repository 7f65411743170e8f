"""
Walks directories that others change meanwhile: what goes while we look is left out.

`Path.rglob`, and `Path.glob` with ``**``, raise FileNotFoundError then. No link in the directory
that is walked is followed.
"""

import os
from collections.abc import Iterator
from pathlib import Path


def beneath(root: Path) -> Iterator[Path]:
    """Yield all that is in *root*, however deep; nothing where it isn't."""
    for directory, inner, names in os.walk(root):
        for name in (*inner, *names):
            yield Path(directory, name)


def directories(root: Path) -> Iterator[Path]:
    """Yield *root* and the directories in it, however deep; nothing where it isn't."""
    for directory, _, _ in os.walk(root):
        yield Path(directory)


def files(root: Path) -> Iterator[Path]:
    """Yield the files in *root*, however deep, and links to files; nothing where it isn't."""
    for directory, _, names in os.walk(root):
        for name in names:
            yield Path(directory, name)
