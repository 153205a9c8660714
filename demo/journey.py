import os

from pyteleport import teleport


def places():
    yield from ["the harbour", "the market", "the lighthouse"]


def visit(place, number):
    print(f"   process {os.getpid()}  {number}. {place}")
    teleport()  # this process ends here, and the program is in the next one
    print(f"   process {os.getpid()}     ... and on from {place}")
    return len(place)


def journey():
    letters = 0
    for number, place in enumerate(places(), 1):
        letters += visit(place, number)
    return letters


print(f"   process {os.getpid()}  sets out")
total = 100 + journey()
print(f"   process {os.getpid()}  arrived with {total}: 100, and the letters of three names")
