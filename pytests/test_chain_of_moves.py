"""What a chain of moves costs and carries: none is slower than those before it, and no byte is lost between them."""

import subprocess
import sys
from pathlib import Path

import harness

BENCH = Path(__file__).resolve().parent.parent / "benches" / "chain.py"


def test_output_through_a_chain_of_moves_is_whole(tmp_path):
    command = [sys.executable, BENCH, "--moves", "30", "--megabytes", "10"]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=harness.environment()
    )
    assert done.returncode == 0, done.stdout.decode()
    assert b"30 moves" in done.stdout
    assert b"as without a move" in done.stdout
