"""``podman://container``: as ``docker:``."""

from . import docker


def command(url):
    """Options: as for ``docker:``."""
    return docker.command(url, "podman")
