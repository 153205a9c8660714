"""Two small programs, shown and run: one that changes its process, one that keeps its state in a file."""

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def show(title, program):
    print(f"\n=== {title}\n")
    for line in (HERE / program).read_text().splitlines():
        print(f"   | {line}")


def run(*argv):
    print(f"\n$ python {' '.join(str(a) for a in argv)}", flush=True)
    process = subprocess.Popen([sys.executable, *argv], cwd=HERE)
    status = process.wait()
    print(f"   (process {process.pid} was started, and ended with exit status {status})")
    if status:
        sys.exit(f"the demo failed: exit status {status}")


def main():
    show("A program that moves three times, in the middle of a loop over a generator", "journey.py")
    run("journey.py")
    print(
        "\nOne program: its loop, its generator, its variables and the half-added sum went from process to process."
        "\nEach process that it left held nothing but a small pump for its streams, signals and exit status."
    )
    show("A program that keeps its state in a file, and goes on", "checkpoint.py")
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state.tp"
        run("checkpoint.py", state)
        run(state)
        run("-m", "pyteleport", "resume", state)
    print("\nThe file holds the program in the middle of its search: any number of runs go on from there.")
    print("\nOver ssh it is the same call with the way to get there: bash_teleport('ssh', 'host').\n")


if __name__ == "__main__":
    main()
