"""Text and bytes: files in memory, regular expressions, formatting, csv and json."""

import csv
import io
import json
import re
import string
import struct
from collections import Counter

POEM = """The wind, the wind, the heaven-born wind
that wanders where it will;
the hill, the wind, the silent hill."""

lines = iter(POEM.splitlines())
words = Counter()
for number, line in enumerate(lines, 1):
    for match in re.finditer(r"[a-z-]+", line.lower()):
        words[match.group()] += 1
    hop()
    print(number, line.title().swapcase())
print(words.most_common(3))


def write(rows):
    sink = io.StringIO()
    csv.writer(sink).writerows(rows)
    return sink


sink = write([("a", 1), ("b,c", hop(2)), ('d"e', 3.5)])
print(repr(sink.getvalue()))

reader = io.StringIO(sink.getvalue())
print(reader.readline().strip())
hop()
print([row for row in csv.reader(reader)])

binary = io.BytesIO(struct.pack("<IhB", 7, -2, 255) + b"tail")
print(struct.unpack("<Ih", binary.read(6)))
hop()
print(binary.read(1), binary.tell(), binary.read())

template = string.Template("$who owes $$${amount}")
print(template.substitute(who=hop("tim"), amount=5), "{0:>8}|{name!r:<6}|".format(hop("x"), name="y"))
data = {"k": [1, 2.5, None, True, "\u00fc\U0001f40d"], "nested": {"a": {"b": []}}}
text = json.dumps(data, sort_keys=True, ensure_ascii=False)
hop()
print(json.loads(text) == data, text)
pattern = re.compile(r"(?P<key>\w+)=(?P<value>\d+)")
matches = [m.groupdict() for m in pattern.finditer("a=1 b=22")]
hop()
print(matches, pattern.sub("<\\1>", "x=1"), bytes.fromhex("00ff"), bytearray(b"ab") + b"c")
