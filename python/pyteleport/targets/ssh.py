"""``ssh://user@host:port``: another machine, as the ssh command reaches it."""

# Seconds of silence after which ssh asks the far end whether it is there, which it does a few times before it
# ends. By itself it does not, and would hear of a line that was cut in hours.
_ALIVE = ["-o", "ServerAliveInterval=15"]


def command(url):
    """Options: ``python`` and ``before``; ``config``, another configuration file.

    ``option`` is one of the lines of such a file, any number of times, as in ``option=Compression=yes``.
    A line that is cut is noticed in a minute, or when such lines of ``ServerAliveInterval`` and
    ``ServerAliveCountMax`` say.
    """
    url.only("python", "before", "config", "option", port=True)
    argv = ["ssh"]
    if url.port is not None:
        argv += ["-p", str(url.port)]
    if url.option("config"):
        argv += ["-F", url.option("config")]
    lines = url.options.get("option", ())
    for line in lines:
        argv += ["-o", line]
    place = f"{url.user}@{url.host}" if url.user else url.host
    said = any(line.lower().startswith("serveraliveinterval") for line in lines)
    if not said and not _asks(argv, place):
        argv += _ALIVE
    return url.command([*argv, place])


def _asks(argv, place):
    """Whether ssh's configuration says when to ask: an option of ours would come before it."""
    import subprocess

    quiet = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        told = subprocess.run([argv[0], "-G", *argv[1:], place], stdout=subprocess.PIPE, timeout=10, **quiet)
    except (OSError, subprocess.TimeoutExpired):
        return False
    lines = (line.split() for line in told.stdout.decode(errors="replace").lower().splitlines())
    return any(line[:1] == ["serveraliveinterval"] and line[1:] != ["0"] for line in lines)
