"""
Bounds the programs of a machine: as root, in a clean environment, for so long and no longer.

Both adapters of `fleet.scores.linux.machine` run what this makes of a command, so that a program
behaves the same here and over SSH. It ends by `timeout` on its own machine: a connection that
breaks leaves nothing running for good. Decides only: no I/O.
"""

from collections.abc import Sequence

from fleet import errors
from fleet.scores.linux.machine import Answer

GRACE = 10.0  # over a program's own limit, until its machine counts as gone
_KILLED_AFTER = 5.0  # seconds from asking a program to end, to ending it
_TIMED_OUT = frozenset({124, -9})  # what `timeout` answers: it ended in time, or was killed
# NixOS has its programs in the last: enough of them to tell that it is NixOS.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin"
_CLEAN = ("env", "-i", "LC_ALL=C", "HOME=/root", f"PATH={_PATH}")
_UNRESOLVED = (
    "sudo: unable to resolve host"  # a warning at each use, where /etc/hosts lacks the host
)
# Asked for in C as well, since what it complains of is recognised below.
_AS_ROOT = ("env", "LC_ALL=C", "sudo", "-n", "--")


def bounded(argv: Sequence[str], *, within: float, is_root: bool) -> tuple[str, ...]:
    """
    Wrap *argv* for a login that *is_root*, or may become root by ``sudo``.

    :raises errors.InvalidConfig: no program can be given such arguments.
    """
    _check(argv)
    timeout = ("timeout", f"--kill-after={_KILLED_AFTER:g}", "--", f"{within:g}")
    return (*(() if is_root else _AS_ROOT), *_CLEAN, *timeout, *argv)


def judge(
    name: str, argv: Sequence[str], answer: Answer, *, within: float, took: float, is_root: bool
) -> Answer:
    """
    Return *answer*, unless it is that of what *argv* was wrapped in.

    :raises errors.CommandFailed: it took longer than *within*.
    :raises errors.LoginRefused: this user may not become root without a password.
    """
    if answer.code in _TIMED_OUT and took >= within:
        raise late(name, argv, within)
    if not is_root and answer.code == 1 and (said := _refusal(answer)):
        raise errors.LoginRefused(
            f"{name}: this user can't become root ({said}); log in as root, or give it"
            " NOPASSWD: ALL in a file of /etc/sudoers.d",
            element=name,
        )
    return answer


def _refusal(answer: Answer) -> str:
    """Return what `sudo` said for a refusal; that a host can't resolve its own name is none."""
    lines = answer.err.decode(errors="replace").splitlines()
    said = next((line for line in lines if not line.startswith(_UNRESOLVED)), "")
    return said if said.startswith("sudo: ") else ""


def late(name: str, argv: Sequence[str], within: float) -> errors.CommandFailed:
    """Make the error of a program that took longer than it may."""
    return errors.CommandFailed(
        f"{name}: `{' '.join(argv)}` took over {within:g} s, and was ended", element=argv[0]
    )


def _check(argv: Sequence[str]) -> None:
    if not argv or not argv[0]:
        raise errors.InvalidConfig("a command without a program", element="argv")
    for argument in argv:
        if "\0" in argument:
            raise errors.InvalidConfig(
                f"an argument of `{argv[0]}` has a NUL byte in it: {argument!r}; leave it out",
                element=argv[0],
            )
