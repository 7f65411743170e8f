"""
Run in a mount namespace of its own: overlays directories, and holds that until its input ends.

    unshare --mount --propagation private -- python3 holding.py STATE DIRECTORY…
"""

import subprocess
import sys
from pathlib import Path


def mount(*arguments: str) -> None:
    """Mount, or end."""
    subprocess.run(("mount", *arguments), check=True)


def overlay(directory: str, state: str) -> None:
    """Let what is written to *directory* go to *state*."""
    upper, work = (Path(f"{state}{directory}/{part}") for part in ("upper", "work"))
    upper.mkdir(parents=True)
    work.mkdir()
    upper.chmod(Path(directory).stat().st_mode & 0o7777)
    layers = f"lowerdir={directory},upperdir={upper},workdir={work}"
    mount("-t", "overlay", "overlay", "-o", layers, directory)


def main() -> None:
    """Mount everything, say so, and wait."""
    state, *overlaid = sys.argv[1:]
    mount("-t", "tmpfs", "tmpfs", state)
    for directory in overlaid:
        overlay(directory, state)
    mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()


main()
