"""
Commands that end with whoever runs them, and all that they started with them.

Installing packages starts hundreds of programs, some in sessions of their own. When the one that
builds is killed, nothing may go on writing to what the next one makes anew. So they live in a
namespace of processes: the kernel ends all in there once its first is gone. Their mounts go too.
"""

from collections.abc import Sequence


def dying_with_us(command: Sequence[str]) -> tuple[str, ...]:
    """Return *command* as one that is ended when the thread that runs it is: one program."""
    return ("setpriv", "--pdeathsig", "KILL", "--", *command)


def contained(command: Sequence[str]) -> tuple[str, ...]:
    """Return *command* as one that is ended with us, and so is all that it has started."""
    return dying_with_us(
        ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
         "--mount-proc", "--", *command)
    )  # fmt: skip
