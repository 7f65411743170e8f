"""A deployment's life on devices that are namespaces of this host."""

from tests.using_lab.deploying import *  # noqa: F403 - the same tests, on this suite's lab
