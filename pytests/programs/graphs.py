"""Data structures with cycles: graphs, linked lists, a trie, a cache."""

from collections import OrderedDict, defaultdict, deque


class Node:
    __slots__ = ("edges", "name", "__weakref__")

    def __init__(self, name):
        self.name, self.edges = name, []


nodes = {name: Node(name) for name in "abcdef"}
for line in ["a-b", "b-c", "c-a", "c-d", "d-e", "e-f", "f-d"]:
    start, end = line.split("-")
    nodes[start].edges.append(nodes[end])
    nodes[end].edges.append(nodes[start])


def breadth(start):
    queue, seen = deque([(start, 0)]), {start.name}
    while queue:
        node, distance = queue.popleft()
        yield node.name, distance
        for other in node.edges:
            if other.name not in seen:
                seen.add(other.name)
                queue.append((other, distance + 1))
                if other.name in "ce":
                    hop()


def depth(node, seen=None):
    seen = seen if seen is not None else []
    seen.append(node.name)
    for other in node.edges:
        if other.name not in seen:
            depth(other, seen)
    if len(seen) == 6 and node.name in "fd":
        hop()
    return seen


print(list(breadth(nodes["c"])) if False else [item for item in breadth(nodes["a"])])
print(depth(nodes["a"]), nodes["a"].edges[0].edges[0] is nodes["a"])


class Trie(defaultdict):
    def __init__(self, *args):
        super().__init__(Trie)
        self.end = False

    def add(self, word):
        node = self
        for letter in word:
            node = node[letter]
        node.end = True

    def words(self, prefix=""):
        if self.end:
            yield prefix
        for letter in sorted(self):
            yield from self[letter].words(prefix + letter)


trie = Trie()
for word in "to tea ted ten inn in".split():
    trie.add(word)
    if word.startswith("te"):
        hop()
for word in trie.words():
    print(word, end=" ")
print()


class Cache:
    def __init__(self, size):
        self.size, self.items, self.hits = size, OrderedDict(), 0

    def __call__(self, function):
        def cached(*args):
            if args in self.items:
                self.hits += 1
                self.items.move_to_end(args)
                return self.items[args]
            value = self.items[args] = function(*args)
            if len(self.items) > self.size:
                self.items.popitem(last=False)
            return value

        cached.cache = self
        return cached


@Cache(10)
def fib(n):
    if n == 3:
        hop()
    return n if n < 2 else fib(n - 1) + fib(n - 2)


print(
    fib(30), fib.cache.hits, len(fib.cache.items), fib.cache.items is fib.__closure__[1].cell_contents.items
)
