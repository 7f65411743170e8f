"""A machine of ours that answers as it was told, and refuses what nobody told it of."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet.scores.linux.machine import WITHIN, Answer


@dataclass
class Told:
    """*answers* are by the words that a command begins with."""

    answers: Mapping[str, Answer]
    name: str = "hv"
    libvirt: str = "test:///default"
    asked: list[str] = field(default_factory=list)

    def ask(self, *argv: str, stdin: bytes = b"", within: float = WITHIN) -> Answer:
        del stdin, within
        command = " ".join(argv)
        self.asked.append(command)
        for beginning, answer in self.answers.items():
            if command.startswith(beginning):
                return answer
        raise AssertionError(f"nobody told what to answer to: {command}")
