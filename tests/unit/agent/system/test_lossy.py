"""`lossy`: what a full disk refuses is lost, and fails nobody."""

import io

from fleet.agent.system.lossy import lossy


class Full(io.StringIO):
    """A disk without room, for a while."""

    is_full = True

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(28, "No space left on device")
        return super().write(text)

    def flush(self) -> None:
        if self.is_full:  # as a file with a buffer says it
            raise OSError(28, "No space left on device")
        super().flush()


def test_what_is_refused_is_lost_and_what_is_taken_is_there():
    disk = Full()
    log = lossy(disk)
    print("lost", file=log, flush=True)
    disk.is_full = False
    print("there", file=log, flush=True)
    assert disk.getvalue().splitlines()[-1] == "there"
    assert "lost" not in disk.getvalue()
