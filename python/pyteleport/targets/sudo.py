"""``sudo://user``: another user of this machine."""

import sys
from shlex import quote


def command(url):
    """Options: ``python`` (this interpreter if left out) and ``before``. Without a user: root."""
    url.only("python", "before", host=False)
    if url.user:
        raise ValueError(f"target {url.text!r}: write the user as in 'sudo://{url.user}'")
    user = ["-u", url.host] if url.host else []
    return url.command(["sudo", *user, "--", "sh", "-c"], quote(sys.executable))
