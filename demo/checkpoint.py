import os
import sys

from pyteleport import dump

state = sys.argv[1]


def search(lower, upper):
    while upper - lower > 1:
        middle = (lower + upper) // 2
        if upper - lower == 8 and dump(state):  # None here; true where the state is resumed
            print(f"   process {os.getpid()}  goes on from the file, between {lower} and {upper}")
        lower, upper = (middle, upper) if middle * middle <= 2021 else (lower, middle)
    return lower


print(f"   process {os.getpid()}  looks for the root of 2021")
root = search(0, 64)
print(f"   process {os.getpid()}  found {root}")
