"""The images that the tests run: the lab's own demo pages, in its registry."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Images:
    """Two versions of a page, served at port 8080, and an image that nobody made."""

    registry: str

    @property
    def v1(self) -> str:
        """The first version."""
        return f"{self.registry}/demo/hello-web:v1"

    @property
    def v2(self) -> str:
        """The second version."""
        return f"{self.registry}/demo/hello-web:v2"

    @property
    def missing(self) -> str:
        """No image."""
        return f"{self.registry}/demo/hello-web:never-made"

    v1_says = "hello-web v1"
    v2_says = "hello-web v2"
