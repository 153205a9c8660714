"""The matrix of releases and suites: as it is printed, with numbers, and as README.md keeps it, without."""

from dataclasses import dataclass, field

BEGIN, END = "<!-- written by tools/test_all.py -->", "<!-- end of what tools/test_all.py writes -->"


@dataclass
class Result:
    """What came out of a suite for a release."""

    passed: int = 0
    failed: list = field(default_factory=list)
    skipped: list = field(default_factory=list)  # why, of each

    def cell(self, numbers):
        if self.failed:
            return f"✗ {len(self.failed)}"
        text = ("✓" if self.passed else "-") if not self.skipped else f"✓ but {len(self.skipped)}"
        return f"{text} {self.passed}" if numbers and self.passed else text


def row(release, suites, numbers):
    """A release's cells; one that cannot be served has the reason in the second."""
    if release.why_not:
        return [release.name, release.why_not] + [""] * (len(suites) - 1)
    name = release.version if numbers else release.name
    return [name, *(release.results.get(suite, Result()).cell(numbers) for suite in suites)]


def by_release(name):
    """Sorts 3.9 before 3.10, and 3.14 before 3.14 JIT."""
    release, _, more = name.partition(" ")
    return int(release.partition(".")[2]), more


def notes(releases):
    """What failed, and why what was left out was."""
    for release in releases:
        for suite, result in release.results.items():
            for failed in sorted(set(result.failed)):
                yield f"{release.name} {suite}: failed: {failed}"
            for reason in sorted(set(result.skipped)):
                yield f"{release.name} {suite}: {result.skipped.count(reason)} left out: {reason}"


def show(releases, suites, readme, write):
    """Prints the matrix, and writes README's or says that it is another; rows of releases not run stay."""
    head = ["CPython", *suites]
    printed = [head, *(row(release, suites, True) for release in releases)]
    widths = [max(len(cells[at]) for cells in printed if len(cells[at]) < 20) for at in range(len(head))]
    for cells in printed:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip())
    print("\n".join(notes(releases)))

    tested = [release for release in releases if not release.why_not]
    text = readme.read_text()
    before, _, rest = text.partition(BEGIN)
    now, _, after = rest.partition(END)
    kept = {line.split("|")[1].strip(): line for line in now.splitlines() if line.startswith("| 3.")}
    for release in tested:
        kept[release.name] = "| " + " | ".join(row(release, suites, False)) + " |"
    rows = [kept[name] for name in sorted(kept, key=by_release)]
    left = [line for line in now.splitlines() if line.startswith("- 3.")]
    left = [line for line in left if line[2:].split()[0] not in [release.name for release in tested]]
    left = sorted(left + [f"- {note}" for note in notes(tested)])
    lines = [
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
        *rows,
        *(["", *left] if left else []),
        "",
    ]
    made = before + BEGIN + "\n".join(lines) + END + after
    if write:
        readme.write_text(made)
    elif made != text and BEGIN in text:
        print("README.md has another matrix than this: make test-all WRITE=1")
