"""
Decide which images may go. Pure.

Only images that the agent itself brought to the device: those that bear no
name which it didn't bring them with. Of these only what no container uses, no
deployment wants, and no store shared with others holds. What is left may take
up *budget* bytes, for whoever goes back a version; what was used longest ago
goes first.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias

from fleet.agent.runtimes.port import Image

# What the agent brought: the names that each image, by its id, came with. Used last stands last.
Brought: TypeAlias = Mapping[str, frozenset[str]]


def bring(brought: Brought, image: Image, *, is_new: bool) -> Brought:
    """Note that the agent brought *image*, unless somebody else had before."""
    if not is_new and image.id not in brought:
        return brought
    names = brought.get(image.id, frozenset()) | image.names
    return {**_without(brought, image.id), image.id: names}


def arrange(
    brought: Brought,
    images: Iterable[Image],
    wanted: Collection[str],
    arrived: Collection[str] = (),
) -> Brought:
    """
    Forget what is gone, and let what is in use, or *wanted* by its id, stand last.

    What *arrived* while *images* were being listed isn't gone, and is in use soon.
    """
    found = {image.id: image for image in images}
    there = {i: names for i, names in brought.items() if i in found or i in arrived}
    used = {
        i: names
        for i, names in there.items()
        if i in arrived or i in wanted or (i in found and found[i].is_used)
    }
    return {i: names for i, names in there.items() if i not in used} | used


def surplus(
    brought: Brought, images: Iterable[Image], wanted: Collection[str], budget: int
) -> tuple[Image, ...]:
    """List the images that have to go, in order."""
    found = {image.id: image for image in images}
    unused = [
        found[i]
        for i, names in brought.items()
        if i in found and i not in wanted and _is_ours_alone(found[i], names)
    ]
    excess = sum(image.size for image in unused) - budget
    going = []
    for image in unused:
        if excess <= 0:
            break
        going.append(image)
        excess -= image.size
    return tuple(going)


def _is_ours_alone(image: Image, names: frozenset[str]) -> bool:
    return not image.is_used and not image.is_shared and image.names <= names


def _without(brought: Brought, image_id: str) -> Brought:
    return {i: names for i, names in brought.items() if i != image_id}
