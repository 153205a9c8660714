"""Connections of `sqlite3`, to memory and to files: contents, settings, cursors, rows; what is refused."""

import shutil
import sys

import harness
import pytest

pytest.importorskip("_sqlite3", reason="this Python has no sqlite3")


def test_a_database_in_memory(same):
    same("""
        import sqlite3
        db = sqlite3.connect(":memory:", timeout=2.5)
        db.execute("CREATE TABLE people (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)")
        db.execute("CREATE VIEW names AS SELECT name FROM people")
        db.execute("CREATE TRIGGER shout AFTER INSERT ON people BEGIN UPDATE people SET name = upper(name); END")
        db.executemany("INSERT INTO people (name) VALUES (?)", [("ann",), ("bob",), ("c\\u00e9line",)])
        db.execute("DELETE FROM people WHERE id = 2")
        db.execute("PRAGMA user_version = 7")
        db.execute("PRAGMA foreign_keys = 1")
        db.commit()
        empty = sqlite3.connect(":memory:", isolation_level="EXCLUSIVE")
        closed = sqlite3.connect(":memory:")
        cursor_of_closed = closed.cursor()
        closed.close()
        same_one = [db]
        for turn in range(2):
            hop()
            print(db.execute("SELECT * FROM people ORDER BY id").fetchall(), same_one[0] is db)
            print(db.total_changes, db.in_transaction, db.isolation_level, empty.isolation_level)
            print(db.execute("SELECT changes(), last_insert_rowid()").fetchone())
            names = "user_version", "foreign_keys", "busy_timeout"
            print([db.execute("PRAGMA " + name).fetchone() for name in names])
            print(db.execute("INSERT INTO people (name) VALUES ('dan')").lastrowid, db.in_transaction)
            db.commit()
            print(db.execute("SELECT count(*) FROM names").fetchone(), empty.execute("SELECT 1").fetchall())
            print(empty.total_changes, empty.execute("SELECT name FROM sqlite_master").fetchall())
            for gone in (closed.cursor, lambda: cursor_of_closed.execute("SELECT 1")):
                try:
                    gone()
                except sqlite3.ProgrammingError as error:
                    print(error)
        for each in (db, empty):
            each.close()
    """)


def test_what_makes_rows_and_values(same):
    same("""
        import datetime, sqlite3

        class Point:
            def __init__(self, x):
                self.x = x

        class Base(sqlite3.Connection):
            def __init__(self, *args, **options):
                print("opened")
                super().__init__(*args, **options)
                self.label = "mine"
            def cursor(self, factory=None):
                return super().cursor(factory or Steps)

        class Steps(sqlite3.Cursor):
            steps = 0
            def execute(self, *args):
                self.steps += 1
                return super().execute(*args)

        class Named(sqlite3.Row):
            pass

        sqlite3.register_adapter(Point, lambda point: "P%d" % point.x)
        sqlite3.register_converter("point", lambda data: Point(int(data[1:])))
        sqlite3.register_converter("truth", bool)
        sqlite3.register_converter("day", lambda data: datetime.date.fromisoformat(data.decode()))
        db = sqlite3.connect(":memory:", detect_types=sqlite3.PARSE_DECLTYPES, factory=Base)
        parsed = sqlite3.connect(":memory:", detect_types=sqlite3.PARSE_COLNAMES)
        db.row_factory = sqlite3.Row
        db.text_factory = bytes
        parsed.row_factory = lambda cursor, row: [column[0] for column in cursor.description] + list(row)
        cursor = db.cursor()
        cursor.execute("CREATE TABLE t (place point, date day, word TEXT, sure truth)")
        cursor.execute("INSERT INTO t VALUES (?, '2020-02-03', 'w', '')", (Point(3),))
        db.commit()
        cursor.arraysize = 5
        row = cursor.execute("SELECT place, word AS w FROM t").fetchone()
        other, named = db.cursor(), Named(cursor, (1, 2))
        other.row_factory = None
        cursor.fetchall()
        hop()
        print(row.keys(), row["w"], row["place"].x, row == row, row[0] is row["place"], type(named), named["W"])
        print(cursor.steps, cursor.arraysize, [column[0] for column in cursor.description], cursor.connection is db)
        print(cursor.rowcount, cursor.lastrowid, other.description, cursor.fetchall(), db.label)
        found = cursor.execute("SELECT * FROM t").fetchone()
        print(found["place"].x, found["word"], found["sure"], found["date"], other.execute("SELECT 'x'").fetchall())
        print(parsed.execute("SELECT 'P4' AS 'n [point]', 'a' AS b").fetchone()[0::3], sqlite3.converters["TRUTH"])
        hop()
        print(named["place"], db.execute("SELECT ?", (Point(8),)).fetchone()[0], row.keys())
        db.close(), parsed.close()
    """)


def test_databases_in_files(same, tmp_path):
    same(
        """
        import os, sqlite3
        for name in ("a.db", "b.db", "read.db"):
            if os.path.exists(name):
                os.remove(name)
        db = sqlite3.connect("a.db")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("ATTACH 'b.db' AS second")
        db.execute("CREATE TABLE t (x)")
        db.execute("CREATE TABLE second.u (x)")
        db.execute("INSERT INTO t VALUES (1)")
        db.execute("INSERT INTO u VALUES (2)")
        db.commit()
        made = sqlite3.connect("read.db")
        made.execute("CREATE TABLE r (x)")
        made.close()
        read = sqlite3.connect("file:read.db?mode=ro", uri=True)
        db.execute("PRAGMA second.cache_size = 123")
        db.execute("PRAGMA synchronous = OFF")
        os.mkdir("elsewhere") if not os.path.isdir("elsewhere") else None
        os.chdir("elsewhere")
        for turn in range(2):
            hop()
            db.execute("INSERT INTO t SELECT x + 1 FROM t")
            db.execute("INSERT INTO u VALUES (?)", (turn,))
            db.commit()
            print(db.execute("SELECT x FROM t").fetchall(), db.execute("SELECT x FROM second.u").fetchall())
            names = "journal_mode", "second.cache_size", "synchronous"
            print([db.execute("PRAGMA " + name).fetchone() for name in names])
            print(sqlite3.connect("../a.db").execute("SELECT count(*) FROM t").fetchone(), db.total_changes)
            try:
                read.execute("CREATE TABLE s (x)")
            except sqlite3.OperationalError as error:
                print(error)
        db.close(), read.close()
    """,
        cwd=tmp_path,
    )


@pytest.mark.skipif(sys.version_info < (3, 11), reason="cannot be set before 3.11")
def test_limits_and_switches(same):
    same("""
        import sqlite3
        db = sqlite3.connect(":memory:", cached_statements=7)
        db.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 500)
        db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        db.execute("PRAGMA case_sensitive_like = 1")
        db.execute("CREATE TABLE t (x)")
        db.execute("PRAGMA query_only = 1")
        other = sqlite3.connect(":memory:")
        other.execute("ATTACH ':memory:' AS second")
        other.execute("CREATE TABLE second.t AS SELECT 5 AS x")
        if hasattr(db, "setconfig"):
            db.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE)
            other.autocommit = True
        hop()
        print(db.getlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH), db.execute("SELECT 'a' LIKE 'A'").fetchone())
        print(db.getlimit(sqlite3.SQLITE_LIMIT_ATTACHED), other.execute("SELECT x FROM second.t").fetchall())
        if hasattr(db, "setconfig"):
            print(db.getconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE), other.autocommit, db.autocommit)
        try:
            db.execute("INSERT INTO t VALUES (1)")
        except sqlite3.OperationalError as error:
            print(error)
        db.close(), other.close()
    """)


REFUSED = [
    ("db.execute('INSERT INTO t VALUES (3)')", "db", "a transaction is open"),
    ("cursor = db.execute('SELECT x FROM t'); cursor.fetchone()", "cursor", "in the middle of its results"),
    ("db.create_function('half', 1, half)", "db", "the function half"),
    ("db.create_collation('odd', lambda a, b: 0)", "db", "the collation"),
    ("db.set_trace_callback(print)", "db", "trace callback"),
    ("db.set_progress_handler(lambda: 0, 1000000)", "db", "progress handler"),
    ("db.set_authorizer(lambda *seen: 0)", "db", "authorizer"),
    ("db.execute('CREATE TEMP TABLE u (x)')", "db", "temporary tables"),
    ("db.execute('PRAGMA locking_mode = exclusive')", "db", "locking mode"),
    ("db = open_shared()", "db", "others share"),
    ("os.remove('gone.db')", "gone", "No such file"),
]


@pytest.mark.parametrize(("what", "name", "reason"), REFUSED, ids=[each[2] for each in REFUSED])
def test_what_sqlite_keeps_to_itself_is_refused(refused, what, name, reason, tmp_path):
    shared = ""
    if "shared" in what:
        shared = "open_shared = lambda: sqlite3.connect('file:m?mode=memory&cache=shared', uri=True)"
    (said,) = refused(
        f"""
        import os, sqlite3
        half = lambda value: value / 2
        {shared}
        gone = sqlite3.connect("gone.db")
        db = sqlite3.connect(":memory:")
        db.execute("CREATE TABLE t (x)")
        db.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
        db.commit()
        if {name!r} != "gone":
            gone.close()
        {what}
        attempt()
        print(*(cursor.fetchall() if "cursor" in globals() else ()))
        db.rollback()
        print(db.in_transaction, db.execute("SELECT count(*) FROM sqlite_master").fetchone())
        gone.close(), db.close()
        """,
        error="UnmovableError",
        cwd=tmp_path,
    )
    assert f"__main__ → {name} (sqlite3." in said
    assert reason in said


def test_a_file_that_differs_is_refused_at_the_peer(move):
    state = move.folder / "state.tp"
    run = move(f"""
        import os, sqlite3
        os.chdir({str(move.folder)!r})
        db = sqlite3.connect("a.db")
        db.execute("CREATE TABLE t (x)")
        db.execute("INSERT INTO t VALUES (5)")
        db.commit()
        dump({str(state)!r}, ship_files=["a.db"])
        print(db.execute("SELECT x FROM t").fetchall())
        db.close()
    """)
    assert run.stdout == "[(5,)]\n", run.stderr
    other = move.folder / "other.db"
    move(f"""
        import sqlite3
        db = sqlite3.connect({str(other)!r})
        db.execute("CREATE TABLE u (x)")
        db.close()
    """)
    (move.folder / "a.db").unlink()
    assert harness.finish(harness.spawn([sys.executable, state])) == (b"[(5,)]\n", b"")
    dumped = move(f"""
        import os, sqlite3
        os.chdir({str(move.folder)!r})
        db = sqlite3.connect("a.db")
        dump({str(state)!r})
        print(db.execute("SELECT x FROM t").fetchall())
        db.close()
    """)
    assert dumped.stdout == "[(5,)]\n", dumped.stderr
    shutil.copy(str(other), str(move.folder / "a.db"))
    out, err = harness.finish(harness.spawn([sys.executable, state]))
    assert out == b""
    assert b"a.db: its tables are not those that the program had" in err
