"""Machines: a Turing machine, a brain-teaser language, the game of life, a stack machine."""

RULES = {
    ("a", 0): (1, 1, "b"),
    ("a", 1): (1, -1, "b"),
    ("b", 0): (1, -1, "a"),
    ("b", 1): (1, 1, "halt"),
}
tape, head, state, steps = {}, 0, "a", 0
while state != "halt":
    write, step, state = RULES[state, tape.get(head, 0)]
    tape[head] = write
    head += step
    steps += 1
    hop()
print(steps, sorted(tape.items()))


def brainy(source, data=b""):
    jumps, stack = {}, []
    for i, c in enumerate(source):
        if c == "[":
            stack.append(i)
        elif c == "]":
            start = stack.pop()
            jumps[start], jumps[i] = i, start
    cells, at, pc, out = bytearray(16), 0, 0, bytearray()
    source_of = iter(data)
    while pc < len(source):
        c = source[pc]
        if c in "<>":
            at += 1 if c == ">" else -1
        elif c in "+-":
            cells[at] = (cells[at] + (1 if c == "+" else -1)) % 256
        elif c == ".":
            out.append(cells[at])
            hop()
        elif c == ",":
            cells[at] = next(source_of, 0)
        elif (c == "[") == (not cells[at]):
            pc = jumps[pc]
        pc += 1
    return bytes(out)


print(brainy("++++++++[>++++++++<-]>+.+.+."), brainy(",[.,]", b"cab"))


def life(cells):
    while True:
        yield cells
        counts = {}
        for x, y in cells:
            for dx in (-1, 0, 1):
                for dy in (-1, 0, 1):
                    if dx or dy:
                        spot = x + dx, y + dy
                        counts[spot] = counts.get(spot, 0) + 1
        cells = {spot for spot, n in counts.items() if n == 3 or (n == 2 and spot in cells)}


for generation, cells in zip(range(5), life({(1, 0), (2, 1), (0, 2), (1, 2), (2, 2)})):
    hop()
    print(generation, sorted(cells))


class Machine:
    def __init__(self):
        self.stack = []
        self.ops = {name[3:]: getattr(self, name) for name in dir(self) if name.startswith("op_")}

    def op_add(self):
        self.stack.append(self.stack.pop() + hop(self.stack.pop()))

    def op_dup(self):
        self.stack.append(self.stack[-1])

    def op_mul(self):
        self.stack.append(self.stack.pop() * self.stack.pop())

    def run(self, program):
        for word in program.split():
            if word.isdigit():
                self.stack.append(int(word))
            else:
                self.ops[word]()
        return self.stack


machine = Machine()
print(machine.run("2 3 add dup mul 7 add"), machine.ops["dup"].__self__ is machine)
