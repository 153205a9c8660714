"""Numbers: sieves, big integers, fractions, decimals, complex, matrices of floats."""

import math
from decimal import Decimal, getcontext
from fractions import Fraction


def primes():
    marks, n = {}, 2
    while True:
        if n in marks:
            for p in marks.pop(n):
                marks.setdefault(n + p, []).append(p)
        else:
            yield n
            marks[n * n] = [n]
        n += 1


for p in primes():
    if p > 60:
        break
    if p % 10 == 3:
        hop()
    print(p, end=" ")
print()


def collatz(n):
    steps = [n]
    while n != 1:
        n = 3 * n + 1 if n % 2 else n // 2
        steps.append(n)
        if n == 40:
            n = hop(n)
    return steps


print(collatz(7), collatz(27)[-12:])
big = 3**500
hop()
print(big % 10**9, (-big) >> 700, big.bit_length())

series = Fraction(0)
for k in range(1, 8):
    series += Fraction(1, k) * (-1) ** hop(k)
print(series, float(series), math.isclose(series, -0.759523, abs_tol=1e-5))

getcontext().prec = 30
third = Decimal(1) / Decimal(7)
hop()
print(third * 3, getcontext().prec, Decimal(1) / Decimal(7))

z, path = 0j, []
for _ in range(6):
    z = z * z + complex(-0.1, 0.65)
    path.append((round(z.real, 6), round(hop(z).imag, 6)))
print(path)

special = [0.0, -0.0, math.inf, -math.inf, math.nan, True, 1, 1.0, False, 0]
hop()
print([repr(x) for x in special], [math.copysign(1, x) for x in special[:2]])


def determinant(m):
    if len(m) == 1:
        return m[0][0]
    return sum(
        (-1) ** c * m[0][c] * determinant([row[:c] + row[c + 1 :] for row in m[1:]]) for c in range(len(m))
    )


matrix = [[(i * j + i) % 7 + (i == j) for j in range(5)] for i in range(5)]
hop()
print(determinant(matrix))
