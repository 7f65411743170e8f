"""
Fleet's lab for the tests of any repository: a pytest plugin.

`entry` is what pytest loads, in every run of an environment that has Fleet: it must cost nothing
until a test asks for a fixture. See docs/pytest-plugin.md.
"""
