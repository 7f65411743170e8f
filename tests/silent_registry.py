"""
A registry that goes silent, for tests: ``python silent_registry.py PORT AT``.

AT is what it never answers: ``/v2/`` for anything at all, `LAYER` for what its image consists of.
"""

import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = f"sha256:{'1' * 64}"


def part(kind: str, size: int, digest: str) -> dict[str, Any]:
    """Describe a part of the image."""
    media_type = f"application/vnd.docker.{kind}"
    return {"mediaType": media_type, "size": size, "digest": digest}


ROOTFS = {"type": "layers", "diff_ids": [f"sha256:{'2' * 64}"]}
CONFIG = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": ROOTFS}).encode()
IMAGE = {
    "schemaVersion": 2,
    "mediaType": MANIFEST,
    "config": part(
        "container.image.v1+json", len(CONFIG), f"sha256:{hashlib.sha256(CONFIG).hexdigest()}"
    ),
    "layers": [part("image.rootfs.diff.tar.gzip", 1000, LAYER)],
}


class Handler(BaseHTTPRequestHandler):
    """Answers with an image's manifest, or its configuration, until asked for what it isn't to."""

    def do_GET(self) -> None:
        """Answer, or never."""
        if sys.argv[2] in self.path:
            threading.Event().wait()
        body = CONFIG if "/blobs/" in self.path else json.dumps(IMAGE).encode()
        self.send_response(200)
        self.send_header("Content-Type", MANIFEST)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.daemon_threads = True
    server.serve_forever()
