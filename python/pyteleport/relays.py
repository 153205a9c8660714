"""Streams that stay at home and are written to from where the program is."""

from __future__ import annotations

import io

from . import imports, lines

__builtins__ = imports.BUILTINS

# So much is kept back at most until a line ends.
_MOST = 8192


class Relay(io.TextIOBase):
    """Stands for a text stream that has stayed at home: what is written here is written there.

    Attributes:
        key: the token of the trip, the number of the stream, its encoding.
    """

    def __init__(self, token, number, encoding):
        self.key = token, number, encoding
        self._text = []

    @property
    def encoding(self):
        return self.key[2]

    errors = None

    def writable(self):
        return True

    def write(self, text):
        """Write a text, as to the stream at home."""
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not %s" % type(text).__name__)
        self._text.append(text)
        if "\n" in text or sum(map(len, self._text)) > _MOST:
            self.flush()
        return len(text)

    def flush(self):
        """Have home write what has been written here."""
        text, self._text = "".join(self._text), []
        if text:
            lines.tell("written", self.key[1], text)

    def fileno(self):
        raise io.UnsupportedOperation("fileno")
