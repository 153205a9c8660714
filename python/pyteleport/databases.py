"""Connections of `sqlite3`: a database in memory by its contents, one in a file by its path, opened again.

What only SQLite has (an open transaction, results that are being fetched, functions that were registered) is
out of reach, and refused by name. Nothing is asked of SQLite as long as the program could notice.
"""

from __future__ import annotations

import os
import sqlite3

from . import files, imports, instances
from . import sqlsettings as settings
from ._native import has_field, read_field, write_field

__builtins__ = imports.BUILTINS

Connection, Cursor, Row = sqlite3.Connection, sqlite3.Cursor, sqlite3.Row

_CLOSE = "close it before the move, or leave it out"
_HAS_SERIALIZE = hasattr(Connection, "serialize")

# ------------------------------------------------------------------------- building, at the peer


def make_connection(cls, facts):
    """A connection to the same databases, with settings that are not the usual ones."""
    connection = Connection.__new__(cls)
    main = facts["databases"][0]
    path, options = ":memory:", dict(facts["options"], isolation_level=None)
    if main["path"] and _is_there(main):
        path = main["path"]
        if main["is_read_only"]:
            from urllib.parse import quote

            path, options["uri"] = "file:%s?mode=ro" % quote(path), True
    Connection.__init__(connection, path, **options)
    if facts["is_closed"]:
        Connection.close(connection)
        return connection
    try:
        _open_all(connection, facts)
    except sqlite3.Error as problem:
        files.problems.append("%s: %s" % (main["path"] or ":memory:", problem))
    return connection


def _is_there(database):
    if os.path.isfile(database["path"]):
        return True
    files.problems.append("%s: No such file or directory" % database["path"])
    return False


def _open_all(connection, facts):
    main, *others = facts["databases"]
    for other in others:
        path = other["path"]
        if path and not _is_there(other):
            continue
        settings.run(connection, "ATTACH ? AS %s" % settings.quoted(other["name"]), path or ":memory:")
    for database in (main, *others):
        if database["contents"]:
            _write(connection, database)
        elif database["path"] and settings.schema(connection, database["name"]) != database["schema"]:
            files.problems.append("%s: its tables are not those that the program had" % database["path"])
    settings.count_up(connection, *facts["counts"])
    settings.put_back(connection, facts["settings"])


def _write(connection, database):
    """Give a database in memory its contents."""
    if database["name"] != "main":
        connection.deserialize(database["contents"], name=database["name"])
        return
    source, path = sqlite3.connect(":memory:"), None
    try:
        if _HAS_SERIALIZE:
            source.deserialize(database["contents"])
        else:
            path = _scratch_path(connection)
            with open(path, "wb") as file:
                file.write(database["contents"])
            source.close()
            source = sqlite3.connect(path)
        source.backup(connection)
    finally:
        source.close()
        if path is not None:
            os.unlink(path)


def _scratch_path(connection):
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else os.environ.get("TMPDIR", "/tmp")
    return os.path.join(folder, "pyteleport-%d-%x" % (os.getpid(), id(connection)))


def fill_connection(connection, state):
    """Give a connection what makes rows and texts of its results, and when transactions begin."""
    attributes, own = state
    for name, value in attributes.items():
        settings.attribute(name).__set__(connection, value)
    if own is not None:
        instances.fill(connection, own)


def make_cursor(cls, connection, is_closed):
    """A cursor with no results."""
    cursor = Cursor.__new__(cls)
    Cursor.__init__(cursor, connection)
    if is_closed:
        write_field(cursor, "closed", 1)
    return cursor


_RESULTS = ("description", "lastrowid", "rowcount")


def fill_cursor(cursor, state):
    """Let a cursor know what it has done last."""
    results, size, row_factory, own = state
    for name, value in zip(_RESULTS, results):
        if value is not None:  # as it is in a fresh one
            write_field(cursor, name, value)
    Cursor.arraysize.__set__(cursor, size)
    Cursor.row_factory.__set__(cursor, row_factory)
    if own is not None:
        instances.fill(cursor, own)


def make_row(cls, values, description):
    """A row, of a cursor that is gone."""
    connection = sqlite3.connect(":memory:")
    try:
        cursor = Cursor(connection)
        write_field(cursor, "description", description)
        return Row.__new__(cls, cursor, values)
    finally:
        connection.close()


# -------------------------------------------------------------------------- taking apart, at home


def _trouble(pickler, connection):
    """Why an open connection cannot travel, or None; only this has found that SQLite may be asked."""
    if not _is_known():
        return "how this release of sqlite3 keeps its state is not known; " + _CLOSE
    for name, what in (("trace", "trace callback"), ("progress", "progress handler"), ("authorizer",) * 2):
        if read_field(connection, name):
            return "its %s is out of reach; take it away before the move" % what
    if connection.in_transaction:
        return "a transaction is open; commit it or roll it back before the move"
    return None


def _is_known():
    """Whether the fields are where they are read."""
    probe = sqlite3.connect(":memory:", detect_types=3, check_same_thread=False)
    try:
        names = "trace", "progress", "authorizer"
        if any(read_field(probe, name) for name in names) or not read_field(probe, "db"):
            return False
        if read_field(probe, "detect_types") != 3 or read_field(probe, "check_same_thread") != 0:
            return False
        probe.set_trace_callback(str)
        probe.set_progress_handler(str, 1000)
        probe.set_authorizer(str)
        return all(read_field(probe, name) for name in names)
    finally:
        probe.close()


def take_connection(pickler, connection):
    """A connection, between two transactions."""
    cls = type(connection)
    state = {name: settings.attribute(name).__get__(connection) for name in ("row_factory", "text_factory")}
    if not read_field(connection, "db"):
        facts = {"databases": [{"path": "", "contents": None}], "options": {}, "is_closed": True}
        own = instances.own_state(pickler, connection)
        return make_connection, (cls, facts), (state, own), None, None, fill_connection
    try:
        trouble = _trouble(pickler, connection)
        if trouble is None:
            with settings.Asking(connection, state["text_factory"]):
                trouble = settings.trouble(connection) or _sharing(pickler, connection)
                if trouble is None:
                    facts, trouble = _facts(connection)
    except sqlite3.Error as problem:
        trouble = "SQLite says: %s" % problem
    if trouble is not None:
        return pickler.refuse(connection, trouble)
    if _mentions(pickler, b"uri=True"):
        facts["options"]["uri"] = True  # which only matters for what is attached later
    for name in settings.MODES:
        state[name] = settings.attribute(name).__get__(connection)
    state = state, instances.own_state(pickler, connection)
    return make_connection, (cls, facts), state, None, None, fill_connection


def _facts(connection):
    databases = []
    for _number, name, path in settings.ask(connection, "PRAGMA database_list"):
        if name == "temp":
            if settings.ask(connection, "SELECT count(*) FROM sqlite_temp_master") != [(0,)]:
                return None, "it has temporary tables, which are its process's own; drop them before the move"
            continue
        database = {"name": name, "path": path, "contents": None}
        if path:
            database["is_read_only"], trouble = _is_read_only(path)
            if trouble:
                return None, trouble
            database["schema"] = settings.schema(connection, name)
        elif settings.ask(connection, "PRAGMA %s.page_count" % settings.quoted(name)) != [(0,)]:
            if name != "main" and not _HAS_SERIALIZE:
                return None, "%s, attached to it, is in memory; detach it before the move" % name
            database["contents"] = _contents(connection, name)
        databases.append(database)
    (timeout,) = settings.ask(connection, "PRAGMA busy_timeout")[0]
    options = {
        "timeout": timeout / 1000,
        "detect_types": read_field(connection, "detect_types"),
        "check_same_thread": bool(read_field(connection, "check_same_thread")),
    }
    facts = {
        "databases": databases,
        "options": options,
        "counts": settings.counts(connection),
        "settings": settings.take(connection, [database["name"] for database in databases]),
        "is_closed": False,
    }
    return facts, None


def _contents(connection, name):
    if _HAS_SERIALIZE:
        return connection.serialize(name=name)
    path = _scratch_path(connection)
    copy = sqlite3.connect(path)
    try:
        copy.execute("PRAGMA synchronous = OFF")
        connection.backup(copy, name=name)
        copy.close()
        with open(path, "rb") as file:
            return file.read()
    finally:
        copy.close()
        os.unlink(path)


def _is_read_only(path):
    """(whether the database in a file is opened for reading only, what stands against a move)."""
    try:
        wanted = os.stat(path)
    except OSError as problem:
        return False, "its file %s: %s; %s" % (path, problem.strerror, _CLOSE)
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            status = os.fstat(int(number))
            if (status.st_dev, status.st_ino) == (wanted.st_dev, wanted.st_ino):
                with open("/proc/self/fdinfo/" + number) as lines:
                    flags = next(int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
                found.add(flags & os.O_ACCMODE == os.O_RDONLY)
        except OSError:  # gone meanwhile
            continue
    if not found:
        return False, "its file has gone from %s; %s" % (path, _CLOSE)
    if len(found) > 1:
        return False, "%s is open for reading and for writing at once; %s" % (path, _CLOSE)
    return found.pop(), None


_SHARED = "others share what it has in memory; " + _CLOSE


def _sharing(pickler, connection):
    """What is wrong with a connection to memory that other connections may have, too."""
    if settings.ask(connection, "PRAGMA database_list")[0][2]:
        return None
    return _SHARED if _mentions(pickler, b"cache=shared", b"vfs=memdb") else None


def _mentions(pickler, *words):
    """Whether the program's sources have one of these words: a connection does not show how it was made."""
    texts = [text.replace(b" ", b"") for text in pickler.modules.texts]
    return any(word in text for word in words for text in texts)


def take_cursor(pickler, cursor):
    """A cursor that has fetched all of its results, or has none."""
    pending = read_field(cursor, "next_row" if has_field(cursor, "next_row") else "statement")
    is_closed = bool(read_field(cursor, "closed"))
    if pending and not is_closed:
        reason = "it is in the middle of its results; fetch them all or close it before the move"
        return pickler.refuse(cursor, reason)
    results = [read_field(cursor, name) for name in _RESULTS]
    size, row_factory = Cursor.arraysize.__get__(cursor), Cursor.row_factory.__get__(cursor)
    state = results, size, row_factory, instances.own_state(pickler, cursor)
    made = make_cursor, (type(cursor), Cursor.connection.__get__(cursor), is_closed)
    return (*made, state, None, None, fill_cursor)


def take_row(pickler, row):
    """A row: its values, and what its cursor said of their columns."""
    made = make_row, (type(row), tuple(Row.__iter__(row)), read_field(row, "description"))
    own = instances.own_state(pickler, row)
    return made if own is None else (*made, own, None, None, instances.fill)
