"""Finds the programs that parts are made of."""

import shutil

from lab.errors import PreflightFailed


def program(name: str) -> str:
    """
    Return the absolute path of *name*: a part is replaced when its program is another one.

    :raises PreflightFailed: it is not on the PATH.
    """
    found = shutil.which(name)
    if found is None:
        raise PreflightFailed(
            f"the program `{name}` is not on the PATH", element=name, hint="run it through ./dev"
        )
    return found
