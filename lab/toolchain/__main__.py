"""
``python -m lab.toolchain ensure|path|verify``

*ensure* builds what is missing and prints the directory of the programs,
*path* prints it only if all is there, *verify* compares every file with the
digest it was built with. Progress goes to stderr.
"""

import sys
from pathlib import Path

from fleet import directories
from lab.toolchain.builders import BuildFailed, SourceBuilder
from lab.toolchain.provisioning import Toolchain
from lab.toolchain.store import Store

_ROOT = Path(__file__).parents[2]


def main(arguments: list[str]) -> int:
    """Run one command; return the exit status."""
    cache = directories.cache_dir()
    toolchain = Toolchain(_ROOT, Store(cache / "toolchain"))
    match arguments:
        case ["ensure"]:
            return _ensure(toolchain, SourceBuilder(_ROOT, cache / "tools", _say))
        case ["path"] if toolchain.is_ready():
            print(toolchain.bin)
            return 0
        case ["path"]:
            _say("the toolchain isn't built; type ./dev invoke lab.doctor")
            return 1
        case ["verify"]:
            return _verify(toolchain)
        case _:
            print(__doc__, file=sys.stderr)
            return 2


def _ensure(toolchain: Toolchain, builder: SourceBuilder) -> int:
    try:
        print(toolchain.ensure(builder, _say))
    except BuildFailed as exc:
        _say(f"{exc}\n{exc.hint}")
        return exc.exit_code
    return 0


def _verify(toolchain: Toolchain) -> int:
    wrong = toolchain.store.verify(toolchain.key)
    for name in wrong:
        _say(f"{toolchain.bin / name} isn't what was built")
    return 1 if wrong else 0


def _say(line: str) -> None:
    print(f"toolchain: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
