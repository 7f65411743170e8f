"""A broken fleet goes back to its snapshot, its machines in the very boot that they were in."""

from tests.using_lab.resetting import *  # noqa: F403 - the same tests, on this suite's lab
