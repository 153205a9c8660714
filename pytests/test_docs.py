"""The examples of the documentation, as printed: a program that begins with its name, and what a shell shows of it."""

import re
import sys

import harness
import pytest

ROOT = harness.HERE.parent
EXAMPLE = re.compile(
    r"```python\n(# (\S+\.py)\n.*?)```\n(?:.*?)```\n\$ python (\S+\.py)\n(.*?)```\n", re.DOTALL
)


def examples():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        for source, name, started, shown in EXAMPLE.findall(page.read_text()):
            assert name == started, page
            yield pytest.param(name, source, shown, id=f"{page.name}-{name}")


def with_names(text):
    """Process numbers as they come: A, B, ..."""
    names = {}
    return re.sub(r"(?<=process )\d+", lambda found: names.setdefault(found[0], chr(65 + len(names))), text)


@pytest.mark.parametrize(("name", "source", "shown"), examples())
def test_an_example_runs_as_printed(tmp_path, name, source, shown):
    (tmp_path / name).write_text(source)
    process = harness.spawn([sys.executable, name], cwd=tmp_path)
    out, err = harness.finish(process)
    assert (err, process.returncode) == (b"", 0)
    # What several processes write comes in any order.
    ordered = sorted if "fork" in source else list
    assert ordered(with_names(out.decode()).splitlines()) == ordered(with_names(shown).splitlines())


def test_there_are_examples():
    assert len(list(examples())) >= 2
