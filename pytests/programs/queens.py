"""Backtracking by recursive generators, and by recursion with lists changed in place."""


def place(n, row=0, columns=(), left=(), right=()):
    if row == n:
        yield columns
        return
    for column in range(n):
        if column in columns or row + column in left or row - column in right:
            continue
        yield from place(n, row + 1, (*columns, column), (*left, row + column), (*right, row - column))


for count, solution in enumerate(place(6), 1):
    print(count, hop(solution))

board = []


def solve(n):
    if len(board) == n:
        return hop(True)
    for column in range(n):
        if all(column != c and abs(column - c) != len(board) - r for r, c in enumerate(board)):
            board.append(column)
            if solve(n):
                return True
            board.pop()
    if len(board) == 3:
        hop()
    return False


print(solve(8), board)
