"""Somebody else's repository, for the tests of the plugin that need more than one process."""

from tests.their_repository import theirs  # noqa: F401 - a fixture
