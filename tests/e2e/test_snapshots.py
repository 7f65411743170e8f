"""A broken fleet goes back to its snapshot; host devices are rebuilt from their journals."""

from tests.using_lab.resetting import *  # noqa: F403 - the same tests, on this suite's lab
