"""How deep programs may go: stacks that move, and the C stack under the hook."""

import subprocess
import sys

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
