"""A puzzle by constraint propagation; contradictions are exceptions."""

import copy

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"


class Contradiction(Exception):
    pass


def peers(cell):
    row, column = divmod(cell, 9)
    for other in range(81):
        r, c = divmod(other, 9)
        if other != cell and (r == row or c == column or (r // 3, c // 3) == (row // 3, column // 3)):
            yield other


PEERS = [list(peers(cell)) for cell in range(81)]
assigned = 0


def assign(grid, cell, digit):
    global assigned
    assigned += 1
    grid[cell] = digit
    for peer in PEERS[cell]:
        if digit in grid[peer] and peer != cell:
            left = grid[peer].replace(digit, "")
            if not left:
                raise Contradiction(peer)
            if len(left) == 1 and len(grid[peer]) > 1:
                assign(grid, peer, left)
            else:
                grid[peer] = left
    if assigned in (10, 60):
        hop()
    return grid


def search(grid):
    open_cells = [(len(options), cell) for cell, options in enumerate(grid) if len(options) > 1]
    if not open_cells:
        return hop(grid)
    _, cell = min(open_cells)
    for digit in grid[cell]:
        try:
            return search(assign(copy.copy(grid), cell, digit))
        except Contradiction:
            continue
    raise Contradiction(cell)


grid = ["123456789"] * 81
for cell, digit in enumerate(PUZZLE):
    if digit != ".":
        assign(grid, cell, digit)
        if cell % 30 == 0:
            hop()
solved = search(grid)
for row in range(9):
    print(" ".join(solved[9 * row : 9 * row + 9]))
