"""What podman answered: the content, or the message of an error."""

from typing import Any, Final

from fleet import errors

REDIRECT: Final = 300
NOT_FOUND: Final = 404
CLIENT_ERROR: Final = 400
SERVER_ERROR: Final = 500


def is_refusal(response: Any) -> bool:
    """Tell whether a removal was refused; what is gone already is removed."""
    return bool(response.status_code >= CLIENT_ERROR and response.status_code != NOT_FOUND)


def is_missing(response: Any) -> bool:
    """
    Tell whether there is nothing that a path names.

    podman redirects a path that isn't clean, as of an image ``a/../b``: that names nothing.
    """
    return bool(response.status_code == NOT_FOUND or is_redirect(response))


def is_redirect(response: Any) -> bool:
    """Tell whether podman sends us elsewhere, as for a path that isn't clean."""
    return bool(REDIRECT <= response.status_code < CLIENT_ERROR)


def check(response: Any) -> None:
    """
    Check that an answer isn't an error.

    :raises errors.RuntimeUnavailable: it is one.
    """
    if response.status_code >= CLIENT_ERROR:
        raise errors.RuntimeUnavailable(f"podman: {complaint(response)}", element="podman")


def content(response: Any) -> Any:
    """
    Read the JSON of an answer.

    :raises errors.RuntimeUnavailable: it is an error, or isn't JSON.
    """
    check(response)
    try:
        return response.json()
    except ValueError as exc:
        raise errors.RuntimeUnavailable("podman answers what isn't JSON", element="podman") from exc


def rows(response: Any) -> list[dict[str, Any]]:
    """
    Read a list of objects. What else stands among them costs no other row.

    :raises errors.RuntimeUnavailable: it is an error, or isn't a list.
    """
    found = content(response)
    if not isinstance(found, list):
        raise errors.RuntimeUnavailable("podman answers what isn't a list", element="podman")
    return [row for row in found if isinstance(row, dict)]


def lenient(response: Any) -> Any:
    """Read the JSON of an answer that others don't depend on; None where it has none."""
    try:
        return content(response)
    except errors.RuntimeUnavailable:
        return None


def complaint(response: Any) -> str:
    """Read the message of an error; its text where it isn't podman's JSON."""
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return str(response.text).strip()
