"""
Desired values that thousands of keys share: each is decoded once, and held once.

The operator reaches `desired-state` by this codec alone.
"""

from dataclasses import dataclass, field, fields
from typing import Final, Self

from fleet.contracts import messages
from fleet.contracts.messages import Codec, ReconcileScore

MOST_KEPT: Final = 1024  # revisions of deployments, the latest of which count


@dataclass(frozen=True, slots=True)
class SharingCodec(Codec[ReconcileScore]):
    """Decodes equal bytes once; it forgets all it kept where that was too much."""

    kept: dict[bytes, ReconcileScore] = field(default_factory=dict)

    @classmethod
    def of(cls, codec: Codec[ReconcileScore]) -> Self:
        """Decode as *codec* does."""
        return cls(**{each.name: getattr(codec, each.name) for each in fields(codec)})

    def decode(self, key: str, data: bytes) -> ReconcileScore:
        """Read the value that stands at *key*; see `Codec.decode`."""
        found = self.kept.get(data)
        if found is not None:
            self.check_key(key)
            return found
        value = Codec.decode(self, key, data)
        if len(self.kept) >= MOST_KEPT:
            self.kept.clear()
        return self.kept.setdefault(data, value)


def desired_state() -> Codec[ReconcileScore]:
    """Make the codec of `desired-state` for one operator."""
    return SharingCodec.of(messages.DESIRED_STATE)
