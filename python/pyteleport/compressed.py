"""Files that are read through a decompressor, whose state is out of reach: it reads up to there once more.

That is done when the layer above, which knows where the program stood, goes there. What compresses,
decompresses or hashes for itself travels only when it has nothing left in it.
"""

from __future__ import annotations

import sys

from . import imports, instances

__builtins__ = imports.BUILTINS


def take_reader(pickler, reader):
    """What `gzip`, `bz2` and `lzma` read with, below a buffer."""
    if reader.closed or reader.__dict__.get("_decompressor") is None:
        return instances.ask(pickler, reader)
    state = {name: value for name, value in reader.__dict__.items() if name != "_decompressor"}
    return instances.make_plain, (type(reader), type(reader)), state, None, None, fill_reader


def fill_reader(reader, state):
    """A reader that is as far as can be behind any place: wherever it is sent, it begins anew."""
    reader.__dict__.update(state)
    reader._decompressor = reader._decomp_factory(**reader._decomp_args)
    reader._eof = False
    reader._pos = sys.maxsize


def take_member(pickler, member):
    """A file in a zip file, being read."""
    if member.closed or not member.seekable():
        return instances.ask(pickler, member)
    state = {name: value for name, value in member.__dict__.items() if name != "_decompressor"}
    return instances.make_plain, (type(member), type(member)), (state, member.tell()), None, None, fill_member


def fill_member(member, state):
    """Read up to there again."""
    import zipfile

    own, position = state
    member.__dict__.update(own)
    # as `seek` does it where it has to begin anew
    member._fileobj.seek(member._orig_compress_start)
    member._running_crc = member._orig_start_crc
    member._compress_left = member._orig_compress_size
    member._left = member._orig_file_size
    member._readbuffer, member._offset, member._eof = b"", 0, False
    member._decompressor = zipfile._get_decompressor(member._compress_type)
    if member._decrypter is not None:
        member._init_decrypter()
    member.seek(position)


def take_compressor(pickler, compressor):
    """One that has finished has nothing more to do."""
    try:
        compressor.copy()
    except ValueError:
        return make_finished, ()
    return take_unfinished(pickler, compressor)


def take_unfinished(pickler, thing):
    """One whose state is out of reach, and that does not tell whether it has any."""
    reason = "it is in the middle of its work; close the file, or flush it and make another after the move"
    return pickler.refuse(thing, reason)


def make_finished():
    """A compressor that has finished."""
    import zlib

    made = zlib.compressobj()
    made.flush()
    return made


def take_decompressor(pickler, decompressor):
    """One that has come to the end keeps what was behind that."""
    facts = [decompressor.unused_data, getattr(decompressor, "check", None)]
    if decompressor.eof and facts[1] in _CHECKS:
        return make_ended, (type(decompressor).__name__, *facts)
    return pickler.refuse(
        decompressor,
        "it is in the middle of a stream; read that to its end before the move, or begin anew after it",
    )


_CHECKS = (None, 0, 1, 4, 10)  # of lzma: none, CRC32, CRC64, SHA-256


def make_ended(kind, unused, check):
    """A decompressor that has come to the end of a stream."""
    if kind == "Decompress":
        from zlib import compress, decompressobj

        made, stream = decompressobj(), compress(b"")
    elif kind == "BZ2Decompressor":
        from bz2 import BZ2Decompressor, compress

        made, stream = BZ2Decompressor(), compress(b"")
    else:
        from lzma import LZMADecompressor, compress

        made, stream = LZMADecompressor(), compress(b"", check=check)
    made.decompress(stream + unused)
    return made


def take_hash(pickler, thing):
    """A hash of nothing yet is like any other; of what it was given it keeps what is out of reach."""
    import hashlib

    size = (16,) if thing.name.startswith("shake") else ()
    own = type(thing).__module__ == "_sha3"  # up to 3.8 not OpenSSL's
    made = (getattr(hashlib, thing.name), ()) if own else (hashlib.new, (thing.name,))
    fresh = made[0](*made[1])
    if type(fresh) is type(thing) and fresh.digest(*size) == thing.digest(*size):
        return made
    return pickler.refuse(
        thing, "the state of a hash is out of reach; keep the bytes and hash them after the move"
    )
