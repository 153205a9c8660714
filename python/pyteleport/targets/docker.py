"""``docker://container``: a container of this machine that runs already."""


def command(url, tool="docker"):
    """Options: ``python`` and ``before``. With a user, ``docker://user@container``, that one in it."""
    url.only("python", "before")
    user = ["--user", url.user] if url.user else []
    return url.command([tool, "exec", "-i", *user, url.host, "sh", "-c"])
