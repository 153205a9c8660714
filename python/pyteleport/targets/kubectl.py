"""``kubectl://namespace/pod``: a container of a cluster that runs already."""


def command(url):
    """Options: ``python`` and ``before``; ``container``, which of the pod's; ``context``, which cluster.

    Without a namespace, ``kubectl://pod``, the context's.
    """
    url.only("python", "before", "container", "context", path=True)
    if url.user:
        raise ValueError(f"target {url.text!r}: kubectl knows no user; say whose pod it is by context=")
    namespace, pod = (["-n", url.host], url.path) if url.path else ([], url.host)
    context = ["--context", url.option("context")] if url.option("context") else []
    container = ["-c", url.option("container")] if url.option("container") else []
    words = ["kubectl", *context, "exec", "-i", *namespace, pod, *container, "--", "sh", "-c"]
    return url.command(words)
