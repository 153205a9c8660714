"""How deep programs may go: stacks that move, and the C stack under the hook."""

import subprocess
import sys
import textwrap

import pytest

DEEP = """
import sys
import pyteleport
{hook}
sys.setrecursionlimit(200_000)
def down(n):
    return 0 if n == 0 else down(n - 1) + 1
def endless(n):
    return endless(n + 1)
print(down(5_000))
try:
    endless(0)
except RecursionError as error:
    print("refused")
print(down(5_000))
"""


def test_what_a_deep_recursion_leaves_is_let_go_within_a_small_stack(tmp_path):
    """CPython nests as deep as its budget of calls in C when it frees a chain, of a traceback's links here."""
    program = tmp_path / "deep.py"
    program.write_text(
        textwrap.dedent("""
            import sys
            import pyteleport
            pyteleport.install_hook()
            sys.setrecursionlimit(2_000_000)
            def down(n):
                return down(n - 1) if n else 1 / 0
            try:
                down(1_000_000)
            except (RecursionError, ZeroDivisionError):
                print("raised")
            print("let go")
        """)
    )
    command = ["sh", "-c", 'ulimit -s 8192 && exec "$0" "$1"', sys.executable, str(program)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "raised\nlet go\n"), run.stderr


@pytest.mark.parametrize(
    "also", ["pass", "class A:\n    def __init__(self): endless(0)\nendless = lambda n: A()"]
)
def test_no_recursion_overruns_the_c_stack_under_the_hook(tmp_path, also):
    program = tmp_path / "deep.py"
    text = DEEP.format(hook="pyteleport.install_hook()").replace(
        "print(down(5_000))\ntry", f"{also}\nprint(down(5_000))\ntry"
    )
    program.write_text(text)
    run = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "5000\nrefused\n5000\n"), run.stderr
