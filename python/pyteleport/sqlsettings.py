"""What SQLite keeps of a connection besides its data: settings and counters, asked for and set in SQL."""

from __future__ import annotations

import sqlite3

from . import imports

__builtins__ = imports.BUILTINS

Connection, Cursor = sqlite3.Connection, sqlite3.Cursor

# When transactions begin; set last.
MODES = [name for name in ("isolation_level", "autocommit") if hasattr(Connection, name)]


def attribute(name):
    """The descriptor of an attribute of connections; a class of the program may hide it."""
    return vars(Connection)[name]


class Asking:
    """A block in which a connection gives texts as `str`."""

    def __init__(self, connection, text_factory):
        self._connection, self._usual = connection, text_factory

    def __enter__(self):
        attribute("text_factory").__set__(self._connection, str)

    def __exit__(self, *_raised):
        attribute("text_factory").__set__(self._connection, self._usual)


def run(connection, statement, *values):
    """Execute a statement; its results as tuples."""
    cursor = Cursor(connection)
    try:
        return Cursor.execute(cursor, statement, values).fetchall()
    finally:
        cursor.close()


ask = run


def quoted(name):
    """The name of a database as SQL has it."""
    return '"%s"' % name.replace('"', '""')


def schema(connection, name):
    """A checksum of what tables, indexes, views and triggers a database has."""
    from binascii import crc32

    rows = ask(
        connection, "SELECT type, name, tbl_name, sql FROM %s.sqlite_master ORDER BY 1, 2" % quoted(name)
    )
    return crc32(repr(rows).encode("utf-8", "surrogatepass"))


# ----------------------------------------------------------------------------- what is out of reach


def trouble(connection):
    """What was registered with a connection and is out of reach; None if nothing was."""
    fresh = sqlite3.connect(":memory:")
    try:
        (is_like_strict,) = ask(connection, "SELECT 'a' NOT LIKE 'A'")[0]
        if is_like_strict:
            ask(fresh, "PRAGMA case_sensitive_like = 1")
        for what, pragma, columns in (
            ("function", "function_list", lambda row: (row[0], row[1], row[2:5])),
            ("collation", "collation_list", lambda row: row[1]),
            ("module", "module_list", lambda row: row[0]),
        ):
            there = [columns(row) for row in ask(connection, "PRAGMA " + pragma)]
            usual = [columns(row) for row in ask(fresh, "PRAGMA " + pragma)]
            if what == "function" and not usual:
                return "this SQLite does not tell which functions were registered; close it before the move"
            for one in there:
                if one not in usual:
                    name = one[0] if type(one) is tuple else one
                    return "the %s %s that was registered with it is out of reach; %s" % (what, name, _AGAIN)
    finally:
        fresh.close()
    if ask(connection, "PRAGMA locking_mode")[0][0] == "exclusive":
        return "its locking mode is exclusive; close it before the move"
    return None


_AGAIN = "close it before the move, and connect and register again after it"

# ---------------------------------------------------------------------------------------- counters

_MANY = 1_000_000


def counts(connection):
    """Rows that were changed by all statements and by the last one; the number of the row inserted last."""
    return connection.total_changes, *ask(connection, "SELECT changes(), last_insert_rowid()")[0]


_INSERT = (
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?1) "
    'INSERT OR REPLACE INTO "pyteleport\'s".t SELECT CASE WHEN n = ?1 THEN ?2 END FROM c WHERE n <= ?1'
)


def count_up(connection, total, last, row):
    """Have as many rows changed in a database that is gone then; of more than a million not all count."""
    if not total:
        return
    last = min(last, _MANY)
    before = min(total - last, _MANY)
    run(connection, "ATTACH ':memory:' AS \"pyteleport's\"")
    run(connection, 'CREATE TABLE "pyteleport\'s".t (n INTEGER PRIMARY KEY)')
    if before > 0:
        run(connection, _INSERT, before, row)
    run(connection, _INSERT, last, row)
    run(connection, 'DETACH "pyteleport\'s"')


# ---------------------------------------------------------------------------------------- settings

# Those of a connection, and those of each of its databases; some say what others may do, and come last.
_PRAGMAS = (
    *("foreign_keys", "recursive_triggers", "reverse_unordered_selects", "read_uncommitted", "temp_store"),
    *("ignore_check_constraints", "legacy_alter_table", "trusted_schema", "cell_size_check", "fullfsync"),
    *(
        "checkpoint_fullfsync",
        "automatic_index",
        "cache_spill",
        "wal_autocheckpoint",
        "analysis_limit",
        "threads",
    ),
    *("full_column_names", "short_column_names", "writable_schema", "query_only"),
)
_PRAGMAS_OF_EACH = (
    *("page_size", "encoding", "auto_vacuum", "journal_mode", "synchronous", "secure_delete", "cache_size"),
    *("journal_size_limit", "max_page_count", "mmap_size"),
)
_LIMITS = range(12)
_CONFIGS = sorted(
    value
    for name, value in vars(sqlite3).items()
    if name.startswith("SQLITE_DBCONFIG_") and name != "SQLITE_DBCONFIG_RESET_DATABASE"
)


def take(connection, databases):
    """All settings of a connection, as numbers and texts."""
    found = {"of each": {}, "of all": {}, "limits": [], "configs": []}
    for database in databases:
        for name in _PRAGMAS_OF_EACH:
            found["of each"][database, name] = ask(connection, _of(database, name))
    for name in _PRAGMAS:
        found["of all"][name] = ask(connection, "PRAGMA " + name)
    found["like"] = ask(connection, "SELECT 'a' NOT LIKE 'A'")[0][0]
    if hasattr(connection, "getlimit"):
        found["limits"] = [connection.getlimit(category) for category in _LIMITS]
    if hasattr(connection, "getconfig"):
        found["configs"] = [connection.getconfig(config) for config in _CONFIGS]
    return found


def _of(database, pragma):
    return "PRAGMA %s.%s" % (quoted(database), pragma)


def put_back(connection, taken):
    """Set what is not so yet."""
    for config, value in zip(_CONFIGS, taken["configs"]):
        if connection.getconfig(config) != value:
            connection.setconfig(config, value)
    if taken["like"]:
        run(connection, "PRAGMA case_sensitive_like = 1")
    for (database, name), rows in taken["of each"].items():
        _set(connection, _of(database, name), rows)
    for category, value in zip(_LIMITS, taken["limits"]):
        connection.setlimit(category, value)
    for name, rows in taken["of all"].items():
        _set(connection, "PRAGMA " + name, rows)


def _set(connection, pragma, rows):
    if rows and run(connection, pragma) != rows:
        run(connection, "%s = '%s'" % (pragma, rows[0][0]))
