"""Runs the host's programs (ip, nft, podman, …); a failure says what ran and what it answered."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from lab.errors import LabError, PreflightFailed, WaitTimedOut


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program answered."""

    code: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        """Tell whether the program ended well."""
        return self.code == 0


def ask(
    *argv: str, stdin: str = "", env: Mapping[str, str] | None = None, within: float = 60
) -> Answer:
    """Run *argv* and return what it answered, also when it failed."""
    try:
        done = subprocess.run(
            argv, input=stdin, env=env, timeout=within, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as exc:
        message = f"the program `{argv[0]}` is not installed"
        raise PreflightFailed(message, element=argv[0], hint="run `invoke lab.doctor`") from exc
    except subprocess.TimeoutExpired as exc:
        raise WaitTimedOut(f"`{' '.join(argv)}` took over {within:g} s", element=argv[0]) from exc
    return Answer(done.returncode, done.stdout, done.stderr)


def run(
    *argv: str, stdin: str = "", env: Mapping[str, str] | None = None, within: float = 60
) -> str:
    """Run *argv* and return its output; raise `LabError` with what it said when it failed."""
    answer = ask(*argv, stdin=stdin, env=env, within=within)
    if not answer.ok:
        said = (answer.err or answer.out).strip()[-2000:]
        message = f"`{' '.join(argv)}` failed with {answer.code}: {said}"
        raise LabError(message, element=argv[0])
    return answer.out
