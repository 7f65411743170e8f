"""A deployment's life on a device that is a machine."""

from tests.using_lab.deploying import *  # noqa: F403 - the same tests, on this suite's lab
