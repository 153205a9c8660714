"""Exception groups: except* with the hop in its parts."""

log = []


def f(kind):
    try:
        log.append("body")
        raise ExceptionGroup("g", [KeyError(1), ValueError(2), ExceptionGroup("h", [KeyError(3), OSError(4)])])
    except* KeyError as group:
        hop()
        log.append(("keys", [repr(e) for e in group.exceptions]))
    except* ValueError as group:
        log.append(("values", len(group.exceptions)))
        hop()
        if kind == "more":
            raise RuntimeError("more")
    finally:
        log.append("finally")
        hop()


for kind in ("plain", "more"):
    try:
        f(kind)
    except ExceptionGroup as left:
        hop()
        log.append((str(left), [type(e).__name__ for e in left.exceptions]))
print(*log, sep="\n")
