"""``ssh://user@host:port``: another machine, as the ssh command reaches it."""


def command(url):
    """Options: ``python`` and ``before``; ``config``, another configuration file.

    ``option`` is one of the lines of such a file, any number of times, as in ``option=Compression=yes``.
    """
    url.only("python", "before", "config", "option", port=True)
    argv = ["ssh"]
    if url.port is not None:
        argv += ["-p", str(url.port)]
    if url.option("config"):
        argv += ["-F", url.option("config")]
    for line in url.options.get("option", ()):
        argv += ["-o", line]
    return url.command([*argv, f"{url.user}@{url.host}" if url.user else url.host])
