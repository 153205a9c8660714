"""``srun://node``: a job step of Slurm."""


def command(url):
    """Options: ``python`` and ``before``; all others are srun's, as in ``srun://?partition=gpu&mem=8G``.

    Without a node, whichever Slurm gives.
    """
    url.only(*url.options, "python", "before", host=False)
    if url.user:
        raise ValueError(f"target {url.text!r}: srun knows no user")
    words = ["srun", "--ntasks=1"]
    if url.host:
        words.append(f"--nodelist={url.host}")
    for name, values in url.options.items():
        if name not in ("python", "before"):
            words += [f"--{name}={value}" if value else f"--{name}" for value in values]
    return url.command([*words, "sh", "-c"])
