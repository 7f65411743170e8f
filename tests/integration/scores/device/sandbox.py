"""
A machine of the test's own: this host's programs, on files that nobody else sees.

The directories that a set-up writes to are overlaid in a private mount namespace, so that real
`useradd`, `visudo`, `tar` and coreutils work on real files and nothing is left. There is no systemd
here: what is said to it goes to a stand-in that refuses what it would refuse.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fleet.scores.linux.machine import WITHIN, Answer

OVERLAID = ("/etc", "/opt", "/usr/local", "/var/lib", "/home")
_HOLDER = Path(__file__).with_name("holding.py")

Program = Callable[[tuple[str, ...]], Answer | None]


@dataclass
class Sandbox:
    """`machine.Machine`: programs run in the namespace of the process *pid*, or by *stand_ins*."""

    pid: int
    since: float
    """when it began: what changed after that was changed by the test"""
    stand_ins: dict[str, Program] = field(default_factory=dict)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    name: str = "sandbox"
    libvirt: str = "test:///default"

    def ask(self, *argv: str, stdin: bytes = b"", within: float = WITHIN) -> Answer:
        self.asked.append(argv)
        if argv[0] in self.stand_ins:
            answer = self.stand_ins[argv[0]](argv)
            if answer is not None:
                return answer
        return self.really_ask(*argv, stdin=stdin, within=within)

    def really_ask(self, *argv: str, stdin: bytes = b"", within: float = WITHIN) -> Answer:
        """Run the real program."""
        command = ("nsenter", f"--mount=/proc/{self.pid}/ns/mnt", "--", "env", "LC_ALL=C", *argv)
        done = subprocess.run(
            command, input=stdin, capture_output=True, check=False, timeout=within
        )
        return Answer(done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def sandbox(directory: Path) -> Iterator[Sandbox]:
    """Make such a machine, with its files in *directory* until the block ends."""
    since = time.time()
    command = ("unshare", "--mount", "--propagation", "private", "--", sys.executable)
    with subprocess.Popen(
        (*command, str(_HOLDER), str(directory), *OVERLAID),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        yield Sandbox(holder.pid, since)
        holder.stdin.close()
