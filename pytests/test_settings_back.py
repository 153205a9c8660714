"""What a block of on() leaves of the interpreter's settings is what there is at home afterwards: whether it was
left alone, changed, or put back to what is usual."""

import textwrap

import pytest

# A setting is a function that puts it into one of three states, of which 0 is the usual one, and one that tells it.
# All of them go together through each state before a block, and through each in it, and are left alone.
HEAD = """
    import contextlib, io, os, sys
    STRAIGHT = sys.argv[1:] == ["straight"]
    def on():
        import pyteleport
        return contextlib.nullcontext() if STRAIGHT else pyteleport.on()
    SETTINGS = {}
    def setting(tell):
        def named(put):
            SETTINGS[put.__name__] = put, tell
            return put
        return named
"""
TAIL = """
    def told():
        return [(name, tell()) for name, (put, tell) in SETTINGS.items()]
    def put_all(state):
        for put, tell in SETTINGS.values():
            put(state)
    def run():
        for before in range(3):
            for inside in (None, 0, 1, 2):
                put_all(before)
                with on():
                    for each in told():
                        print(before, inside, "in", *each)
                    if inside is not None:
                        put_all(inside)
                for each in told():
                    print(before, inside, "after", *each)
    run()
"""

SYS = """
    import faulthandler, gc, random, signal, threading
    @setting(sys.getswitchinterval)
    def switch_interval(state):
        sys.setswitchinterval((0.005, 0.01, 0.25)[state])
    WRITES = sys.dont_write_bytecode
    @setting(lambda: sys.dont_write_bytecode is WRITES)
    def dont_write_bytecode(state):
        sys.dont_write_bytecode = WRITES if state == 0 else not WRITES
    @setting(lambda: sys.pycache_prefix)
    def pycache_prefix(state):
        sys.pycache_prefix = (None, "/one", "/two")[state]
    if hasattr(sys, "get_int_max_str_digits"):
        @setting(sys.get_int_max_str_digits)
        def digits(state):
            sys.set_int_max_str_digits((4300, 0, 700)[state])
    @setting(sys.getrecursionlimit)
    def recursion_limit(state):
        sys.setrecursionlimit((1000, 1500, 800)[state])
    @setting(lambda: (gc.isenabled(), gc.get_threshold()[0]))
    def collecting(state):
        (gc.enable, gc.disable, gc.enable)[state]()
        gc.set_threshold((700, 701, 702)[state], 10, 10)
    @setting(lambda: len(gc.garbage))
    def garbage(state):
        gc.garbage[:] = [[]] * state
    def callback(*_):
        pass
    @setting(lambda: sum(each is callback for each in gc.callbacks) + sum(each.__name__ == "callback" for each in gc.callbacks))
    def callbacks(state):
        gc.callbacks[:] = [callback] * min(state, 1)
    def hook(*_):
        print("hook")
    for name in ("excepthook", "displayhook", "unraisablehook", "breakpointhook"):
        def put(state, name=name, usual=getattr(sys, name)):
            setattr(sys, name, (usual, hook, print)[state])
        def tell(name=name):
            found = getattr(sys, name)
            return [found is getattr(sys, "__%s__" % name), found is hook, found is print]
        put.__name__ = name
        setting(tell)(put)
    USUAL = threading.excepthook
    @setting(lambda: [threading.excepthook is each for each in (USUAL, hook, print)])
    def thread_hook(state):
        threading.excepthook = (USUAL, hook, print)[state]
    @setting(lambda: [repr(getattr(sys, name, None)) for name in ("last_value", "tracebacklimit", "ps1")])
    def last(state):
        for name in ("last_value", "tracebacklimit", "ps1"):
            if state:
                setattr(sys, name, state)
            elif hasattr(sys, name):
                delattr(sys, name)
    @setting(lambda: sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))))
    def blocked(state):
        signal.pthread_sigmask(signal.SIG_SETMASK, ((), (signal.SIGUSR1,), (signal.SIGUSR2, signal.SIGALRM))[state])
    @setting(lambda: signal.getsignal(signal.SIGUSR1) is hook or int(signal.getsignal(signal.SIGUSR1)))
    def handler(state):
        signal.signal(signal.SIGUSR1, (signal.SIG_DFL, hook, signal.SIG_IGN)[state])
    @setting(lambda: [round(each, -2) for each in signal.getitimer(signal.ITIMER_REAL)])
    def timer(state):
        signal.setitimer(signal.ITIMER_REAL, *((0, 0), (1000, 500), (2000, 0))[state])
    @setting(lambda: [sys.get_asyncgen_hooks().firstiter is each for each in (None, hook, print)])
    def asyncgens(state):
        sys.set_asyncgen_hooks((None, hook, print)[state])
    @setting(sys.get_coroutine_origin_tracking_depth)
    def origins(state):
        sys.set_coroutine_origin_tracking_depth(state)
    @setting(lambda: (sys.stdout.errors, sys.stdin is sys.__stdin__, sys.stdin is INPUT))
    def streams(state):
        sys.stdout.reconfigure(errors=("surrogateescape", "replace", "ignore")[state])
        sys.stdin = sys.__stdin__ if state == 0 else INPUT
    INPUT = io.StringIO("read")
    @setting(faulthandler.is_enabled)
    def crashes(state):
        (faulthandler.enable, faulthandler.disable, faulthandler.enable)[state]()
    @setting(lambda: random.random())
    def seed(state):
        random.seed(state)
    @setting(lambda: (os.umask(0o22), os.umask(MASK[0]))[0])
    def umask(state):
        MASK[0] = (0o22, 0o77, 0o27)[state]
        os.umask(MASK[0])
    MASK = [0o22]
    @setting(lambda: (os.environ.get("NEW"), os.system('exit "${PAST:-7}"') >> 8, os.getcwd(), sys.argv[1:], sys.path[1:2]))
    def surroundings(state):
        if state:
            os.environ["NEW"] = str(state)
            os.putenv("PAST", str(state))
        else:
            os.environ.pop("NEW", None)
            os.unsetenv("PAST")
        os.chdir(("/", "/usr", "/tmp")[state])
        sys.argv[1:] = ([], ["one"], ["two"])[state]
        sys.path[1:2] = (["/usual"], ["/one"], ["/two"])[state]
"""

LIBRARY = """
    import builtins, codecs, contextvars, copyreg, csv, decimal, json, locale, logging, re, socket, sqlite3, string
    import tempfile, threading, time, tracemalloc, warnings
    def own(*arguments, **options):
        return "own"
    def other(*arguments, **options):
        return "other"
    USUAL_FILTERS = warnings.filters[:]
    SHOWS = warnings.showwarning, warnings.formatwarning, warnings._showwarnmsg_impl
    def shown():
        seen = io.StringIO()
        with contextlib.redirect_stderr(seen):
            warnings.warn_explicit("text", UserWarning, "file", 1)
            warnings.warn_explicit("text", ImportWarning, "file", 1)
        return seen.getvalue().splitlines()[:1], len(warnings.filters)
    @setting(shown)
    def filters(state):
        warnings.filters[:] = USUAL_FILTERS
        warnings.simplefilter("always", UserWarning)
        if state == 0:
            warnings.filters[:] = USUAL_FILTERS
        if state == 2:
            warnings.simplefilter("ignore")
        warnings.resetwarnings.__globals__.get("_filters_mutated", int)()
    @setting(lambda: [warnings.formatwarning("text", UserWarning, "file", 1)[:20], warnings._showwarnmsg_impl is SHOWS[2]])
    def shows(state):
        warnings.formatwarning = (SHOWS[1], own, other)[state]
        warnings.showwarning = (SHOWS[0], own, other)[state]
        warnings._showwarnmsg_impl = (SHOWS[2], own, other)[state]
    HANDLER = logging.NullHandler(), logging.NullHandler()
    LOGGER = logging.getLogger("some.logger")
    def levels():
        fields = LOGGER.level, LOGGER.propagate, [HANDLER.index(each) for each in LOGGER.handlers], len(LOGGER.filters)
        kept = sum(type(ref()) is logging.NullHandler for ref in logging._handlerList) <= 2
        named = logging.getLevelName(7), logging.getLevelName(30), logging._nameToLevel.get("LOUD")
        return fields, vars(LOGGER).get("mine"), kept, named, logging.root.manager.disable, logging.raiseExceptions, logging.lastResort.level
    @setting(levels)
    def loggers(state):
        LOGGER.setLevel((0, 10, 20)[state])
        LOGGER.propagate = state != 1
        LOGGER.handlers[:] = [[], [HANDLER[0]], [*HANDLER]][state]
        LOGGER.filters[:] = [own] * state
        vars(LOGGER).pop("mine", None)
        logging.addLevelName(30, ("WARNING", "LOUD", "WARNING")[state])
        for number in (7,):
            logging._nameToLevel.pop(logging._levelToName.pop(number, None), None)
        logging._nameToLevel.pop("LOUD", None)
        if state:
            LOGGER.mine = state
            logging.addLevelName(7, ("", "LOW", "LOWER")[state])
        logging._nameToLevel["WARNING"] = 30
        if state == 1:
            logging._nameToLevel["LOUD"] = 30
        logging.disable((0, 15, 25)[state])
        logging.raiseExceptions = state != 1
        logging.lastResort.setLevel((30, 40, 50)[state])
    @setting(lambda: (sorted(set(csv.list_dialects()) - {"excel", "excel-tab", "unix"}), csv.field_size_limit()))
    def dialects(state):
        for name in ("one", "two"):
            if name in csv.list_dialects():
                csv.unregister_dialect(name)
        if state:
            csv.register_dialect(("", "one", "two")[state], delimiter=";")
        csv.field_size_limit((131072, 1000, 2000)[state])
    class Thing:
        pass
    TWO_FACES = {1: own, 2: other}
    @setting(lambda: copyreg.dispatch_table.get(Thing) and copyreg.dispatch_table[Thing]())
    def reducers(state):
        copyreg.dispatch_table.pop(Thing, None)
        if state:
            copyreg.pickle(Thing, TWO_FACES[state])
    @setting(lambda: copyreg._extension_registry.get(("some", "name")))
    def extensions(state):
        if ("some", "name") in copyreg._extension_registry:
            copyreg.remove_extension("some", "name", copyreg._extension_registry["some", "name"])
        if state:
            copyreg.add_extension("some", "name", 5000 + state)
    def gives(error):
        return "given", error.end
    def gives_other(error):
        return "else", error.end
    def answer():
        try:
            return "\\xe4".encode("ascii", "own")
        except LookupError:
            return "none"
    @setting(answer)
    def errors(state):
        if state or answer() != "none":  # once there it can be replaced, and before 3.14 not be taken away
            codecs.register_error("own", (gives, gives_other, gives)[state])
    @setting(lambda: (Thing in [key[0] for key in sqlite3.adapters], sorted(map(str, sqlite3.converters))))
    def adapters(state):
        sqlite3.adapters.pop((Thing, sqlite3.PrepareProtocol), None)
        sqlite3.converters.pop("OWN", None)
        if state:
            sqlite3.register_adapter(Thing, TWO_FACES[state])
            sqlite3.register_converter("own", TWO_FACES[state])
    @setting(lambda: (socket.getdefaulttimeout(), threading.stack_size(), tracemalloc.is_tracing()))
    def defaults(state):
        socket.setdefaulttimeout((None, 3, 4)[state])
        threading.stack_size((0, 1 << 20, 1 << 21)[state])
        (tracemalloc.stop, tracemalloc.start, tracemalloc.stop)[state]()
    @setting(lambda: (decimal.getcontext().prec, decimal.DefaultContext.prec, decimal.getcontext().Emax))
    def decimals(state):
        decimal.getcontext().prec = (28, 5, 6)[state]
        decimal.DefaultContext.prec = (28, 7, 8)[state]
    @setting(lambda: locale.setlocale(locale.LC_ALL))
    def places(state):
        locale.setlocale(locale.LC_ALL, ("C.UTF-8", "C", "C.UTF-8")[state])
    class Finder:
        def find_spec(self, *arguments):
            return None
    FINDER = Finder()
    @setting(lambda: [each is FINDER for each in sys.meta_path if type(each).__name__ == "Finder" and type(each) is Finder or each is FINDER])
    def finders(state):
        sys.meta_path[:] = [each for each in sys.meta_path if type(each) is not Finder]
        if state:
            sys.meta_path.insert(0, FINDER)
    VARIABLE = contextvars.ContextVar("variable")
    TOKENS = []
    @setting(lambda: VARIABLE.get("none"))
    def variable(state):
        while TOKENS:
            VARIABLE.reset(TOKENS.pop())
        if state:
            TOKENS.append(VARIABLE.set(state))
    LOCAL = threading.local()
    @setting(lambda: vars(LOCAL))
    def local(state):
        vars(LOCAL).clear()
        vars(LOCAL).update([{}, {"one": 1}, {"two": 2}][state])
"""

PATCHES = """
    import builtins, json, re, string, tempfile, time
    def own(*arguments, **options):
        return "own"
    def other(*arguments, **options):
        return "other"
    COMPILE, CLOCK, DEFAULT, DIGITS = re.compile, time.ctime, json.JSONEncoder.default, string.digits
    @setting(lambda: (re.compile("x") == COMPILE("x"), type(COMPILE("x")).__name__, re.compile is COMPILE, str(re.compile("x"))))
    def function(state):
        re.compile = (COMPILE, own, other)[state]
    @setting(lambda: (time.ctime(0)[:3], CLOCK(0)[-4:], time.ctime is CLOCK))
    def in_c(state):
        time.ctime = (CLOCK, own, other)[state]
    def told_default():
        try:
            return json.JSONEncoder().default(1), json.JSONEncoder.default is DEFAULT
        except TypeError:
            return "usual", json.JSONEncoder.default is DEFAULT
    @setting(told_default)
    def in_a_class(state):
        json.JSONEncoder.default = (DEFAULT, own, other)[state]
    @setting(lambda: (string.digits, DIGITS, getattr(string, "mine", None), getattr(string, "octdigits", None)))
    def texts(state):
        string.digits = (DIGITS, "1", "2")[state]
        vars(string).pop("mine", None)
        if state:
            string.mine = state
        if state == 1:
            vars(string).pop("octdigits", None)
        else:
            string.octdigits = "01234567"
    @setting(lambda: tempfile.tempdir)
    def folder(state):
        tempfile.tempdir = (None, "/one", "/two")[state]
    @setting(lambda: builtins.extra() if hasattr(builtins, "extra") else None)
    def in_builtins(state):
        vars(builtins).pop("extra", None)
        if state:
            builtins.extra = (None, own, other)[state]
"""


LIBRARIES = {
    "numpy": """
        import numpy
        @setting(lambda: (numpy.geterr()["over"], numpy.get_printoptions()["precision"], numpy.random.random()))
        def numbers(state):
            numpy.seterr(over=("warn", "raise", "ignore")[state])
            numpy.set_printoptions(precision=(8, 3, 4)[state])
            numpy.random.seed(state)
        CONTEXTS = []
        @setting(lambda: numpy.geterr()["divide"])
        def entered(state):
            while CONTEXTS:
                CONTEXTS.pop().__exit__()
            if state:
                CONTEXTS.append(numpy.errstate(divide=("", "raise", "ignore")[state]))
                CONTEXTS[-1].__enter__()
    """,
    "pandas": """
        import pandas
        @setting(lambda: (pandas.get_option("display.max_rows"), pandas.get_option("display.precision")))
        def options(state):
            pandas.set_option("display.max_rows", (60, 5, 6)[state])
            pandas.set_option("display.precision", (6, 6, 3)[state])
    """,
    "sklearn": """
        import sklearn
        @setting(lambda: sklearn.get_config()["working_memory"])
        def options(state):
            sklearn.set_config(working_memory=(1024, 5, 6)[state])
    """,
    "matplotlib": """
        import matplotlib
        @setting(lambda: (matplotlib.rcParams["lines.linewidth"], matplotlib.rcParams["font.size"]))
        def options(state):
            matplotlib.rcParams["lines.linewidth"] = (1.5, 2.0, 1.5)[state]
            matplotlib.rcParams["font.size"] = (10.0, 10.0, 12.0)[state]
    """,
}


@pytest.mark.parametrize("settings", [SYS, LIBRARY, PATCHES], ids=["sys", "library", "patches"])
def test_settings_after_a_block_are_what_it_has_left(move, settings):
    source = textwrap.dedent(HEAD) + textwrap.dedent(settings) + textwrap.dedent(TAIL)
    straight = move(source, args=["straight"])
    moved = move(source, patience=120)
    assert (straight.stderr, straight.returncode) == ("", 0)
    ours, theirs = moved.stdout.splitlines(), straight.stdout.splitlines()
    assert [pair for pair in zip(ours, theirs) if pair[0] != pair[1]] == [], moved.stderr
    assert (len(ours), moved.stderr, moved.returncode) == (len(theirs), "", 0)


@pytest.mark.parametrize("name", LIBRARIES)
def test_settings_of_libraries_after_a_block_are_what_it_has_left(move, name):
    pytest.importorskip(name)
    test_settings_after_a_block_are_what_it_has_left(move, LIBRARIES[name])


def test_what_the_program_had_replaced_and_finds_in_the_block(move):
    source = """
        import reprlib, threading, time
        def own(*arguments):
            return "own"
        reprlib.recursive_repr = time.monotonic = own
        with on():
            import functools
            found = threading._time, functools.recursive_repr
        print(time.monotonic(), reprlib.recursive_repr(), type(found[0]()), found[1] is functools.recursive_repr)
    """
    run = move(textwrap.dedent(HEAD) + textwrap.dedent(source))
    assert (run.stdout, run.stderr) == ("own own <class 'float'> True\n", "")
