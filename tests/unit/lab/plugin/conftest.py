"""Somebody else's repository, for every test of the plugin."""

from tests.their_repository import theirs  # noqa: F401 - a fixture
