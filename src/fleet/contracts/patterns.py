"""
One spelling of a pattern for three readers.

The API server reads patterns as RE2, a topology's editor as ECMAScript, we as Python's `re`;
the first two take ``$`` as the end of the text. `re` takes it also as the place before a last
newline, and so admits ``web\\n``. Patterns are written with ``$``, and given to whatever
searches in Python as `whole`; `re.fullmatch` needs no such thing.

No pattern may split a text in more than one way, or a text of a few hundred characters that
doesn't fit takes `re` longer than the universe is old.
"""

_PORTABLE_END = "$"
_PYTHON_END = r"\Z"


def whole(pattern: str) -> str:
    """Spell a portable *pattern* so that `re.search` takes its end as the end of the text."""
    return _replaced(pattern, _PORTABLE_END, _PYTHON_END)


def portable(pattern: str) -> str:
    """Spell a pattern made by `whole` as RE2 and ECMAScript do."""
    return _replaced(pattern, _PYTHON_END, _PORTABLE_END)


def _replaced(pattern: str, end: str, by: str) -> str:
    return pattern.removesuffix(end) + by if pattern.endswith(end) else pattern
