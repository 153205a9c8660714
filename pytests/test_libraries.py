"""Objects of libraries that people use; docs/libraries.md is the table. Those that are not installed are left out."""

import pytest


def library(*names):
    """Leaves a test out where a library is not installed, as it has no wheel for each release of CPython."""
    return [
        pytest.mark.skipif(not _is_installed(name), reason=f"{name} is not installed for this release")
        for name in names
    ]


def _is_installed(name):
    import importlib.util

    return importlib.util.find_spec(name) is not None


def case(name, source, **options):
    return pytest.param(source, id=options.pop("id", name), marks=library(name), **options)


MOVES = [
    case(
        "pandas",
        """
        import pandas as pd
        frame = pd.DataFrame({
            "a": [1, 2, 3], "b": list("xyz"), "c": pd.date_range("2020", periods=3), "d": pd.Categorical(["u", "v", "u"]),
        })
        groups, rows, tuples = frame.groupby("d", observed=True), frame.iterrows(), frame.itertuples()
        next(rows), next(tuples)
        series = pd.Series([1.0, None], index=pd.MultiIndex.from_product([[1, 2], ["a"]]))
        rolling = frame["a"].rolling(2)
        hop()
        print(frame, frame.dtypes, groups["a"].sum(), next(rows), next(tuples), series, rolling.mean(), sep="\\n")
        total = 0
        for row in frame.itertuples():
            total += row.a
            hop()
        frame.loc[0, "a"] = 10
        print(total, frame["a"].apply(lambda value: value + 1).tolist())
        """,
    ),
    case(
        "pandas",
        """
        import pandas as pd
        frame = pd.DataFrame({"a": [1, 2, 1, 3], "b": [1.0, 2.0, 3.0, 4.0]})
        def total(part):
            hop()
            return part.sum()
        for key, group in frame.groupby("a"):
            hop()
            print(key, group["b"].tolist())
        groups = frame.groupby("a")
        print(frame.apply(total), groups["b"].agg(total), groups[["b"]].apply(total), groups["b"].transform(total))
        print([total(window) for window in frame["b"].rolling(2)])
        """,
        id="groups of pandas, half-way",
    ),
    case(
        "scipy",
        """
        import numpy as np
        import scipy.sparse as sparse
        from scipy import interpolate, optimize, spatial, stats
        rows, coordinates = sparse.csr_matrix(np.eye(3)), sparse.coo_matrix(np.eye(2))
        line, spline = interpolate.interp1d([0, 1, 2], [0, 1, 4]), interpolate.CubicSpline([0, 1, 2], [0, 1, 4])
        nearest, normal = spatial.cKDTree(np.random.default_rng(0).random((10, 2))), stats.norm(1, 2)
        hop()
        print(rows.toarray(), coordinates.toarray(), line(1.5), spline(1.5), nearest.query([0.5, 0.5]), normal.cdf(1))
        calls = 0
        def function(x):
            global calls
            calls += 1
            if calls in (3, 8):
                hop()
            return (x[0] - 1) ** 2
        print(round(optimize.minimize(function, [0.0], method="Nelder-Mead").x[0], 3), calls)
        """,
    ),
    case(
        "sklearn",
        """
        from sklearn.datasets import load_iris
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        X, y = load_iris(return_X_y=True)
        line = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(X, y)
        forest = RandomForestClassifier(5, random_state=0).fit(X, y)
        hop()
        print(line.score(X, y), forest.predict(X[:5]), forest, line.fit(X, 1 - (y > 1)).score(X, y))
        """,
    ),
    case(
        "attr",
        """
        import attr, attrs
        @attrs.define
        class Point:
            x: int = attrs.field(validator=attrs.validators.instance_of(int))
            near: list = attrs.Factory(list)
        @attrs.frozen
        class Name:
            text: str
        @attr.s
        class Old:
            b = attr.ib(default=1)
        point, name, old = Point(1), Name("n"), Old()
        known = {name: point}
        hop()
        point.near.append(point)
        print(point.x, point.near[0] is point, name, old, known[Name("n")] is point, attrs.fields(Point).x.type)
        for attempt in (lambda: setattr(point, "x", "text"), lambda: setattr(name, "text", "m")):
            try:
                attempt()
            except (TypeError, attrs.exceptions.FrozenInstanceError) as error:
                print(type(error).__name__)
        print(attrs.evolve(name, text="o"), Point(4))
        """,
    ),
    case(
        "pydantic",
        """
        from typing import List, Optional
        from pydantic import BaseModel, Field, TypeAdapter, ValidationError, field_validator
        class Item(BaseModel):
            name: str
            price: float = Field(gt=0)
            tags: List[str] = []
            @field_validator("name")
            @classmethod
            def upper(cls, value):
                return value.upper()
        class Box(BaseModel):
            items: List[Item]
            parent: Optional["Box"] = None
        box = Box(items=[{"name": "a", "price": 1}])
        inner, numbers = Box(items=[], parent=box), TypeAdapter(List[int])
        hop()
        print(inner, inner.parent is box, inner.model_dump(), numbers.validate_python(["1"]))
        try:
            Item(name="x", price=-1)
        except ValidationError as error:
            print(error.error_count())
        class Sub(Item):
            extra: int = 3
        print(Sub(name="z", price=1), Item.model_json_schema()["title"], list(Item.model_fields))
        """,
    ),
    case(
        "requests",
        """
        import requests
        session = requests.Session()
        session.headers["x"] = "1"
        session.cookies.set("a", "b")
        request = session.prepare_request(requests.Request("GET", "http://example.invalid/a", params={"q": 1}))
        response = requests.Response()
        response.status_code, response._content = 404, b"hi"
        hop()
        print(session.headers["x"], session.cookies.get("a"), request.url, request.headers["Cookie"], response.text, response.ok)
        """,
    ),
    case(
        "networkx",
        """
        import networkx as nx
        graph, directed = nx.path_graph(5), nx.DiGraph([(1, 2)])
        edges = nx.bfs_edges(graph, 0)
        next(edges)
        hop()
        print(list(edges), nx.shortest_path(graph, 0, 4), list(directed.edges), graph.degree[1])
        """,
    ),
    case(
        "sympy",
        """
        import sympy
        x = sympy.Symbol("x")
        whole = sympy.sin(x) ** 2 + sympy.cos(x) ** 2
        hop()
        print(sympy.simplify(whole), sympy.diff(whole, x), sympy.Symbol("x") is x, sympy.integrate(x, x))
        """,
    ),
    case(
        "PIL",
        """
        from PIL import Image
        image = Image.new("RGB", (4, 4), "red")
        image.putpixel((1, 1), (0, 0, 255))
        hop()
        print(image.getpixel((1, 1)), image.size, image.getpixel((0, 0)))
        """,
    ),
    case(
        "polars",
        """
        import polars as pl
        frame = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})
        later = frame.lazy().filter(pl.col("a") > 1)
        hop()
        print(frame, later.collect())
        """,
    ),
    case(
        "tqdm",
        """
        import io
        from tqdm import tqdm
        text, seen = io.StringIO(), []
        bar = tqdm(range(6), file=text, mininterval=0)
        for number in bar:
            seen.append(number)
            if number in (1, 3):
                hop()
        print(seen, bar.n, "6/6" in text.getvalue())
        """,
    ),
    case(
        "rich",
        """
        from rich.table import Table
        from rich.text import Text
        table = Table(title="of two rows")
        table.add_column("a")
        table.add_row("1")
        text = Text("some", style="bold")
        hop()
        table.add_row("2")
        text.append("thing")
        print(table.row_count, table.columns[0].header, text.plain, text.spans)
        """,
    ),
    case(
        "sqlalchemy",
        """
        from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, select
        people = Table("people", MetaData(), Column("id", Integer, primary_key=True), Column("name", String))
        query = select(people.c.name).where(people.c.id == 1)
        hop()
        engine = create_engine("sqlite://")
        people.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(people.insert().values(id=1, name="ann"))
            print(query, connection.execute(query).scalar())
        engine.dispose()
        """,
    ),
]


MOVES += [
    case(
        "numpy",
        """
        import numpy as np
        np.set_printoptions(precision=2, suppress=True, formatter={"bool": lambda value: "yn"[not value]})
        hop()
        print(np.array([1.23456, 1e-9]), np.array([True, False]), np.get_printoptions()["precision"])
        with np.printoptions(precision=5):
            hop()
            print(np.array([1.23456]))
        print(np.array([1.23456]))
        """,
        id="numpy's settings",
    ),
    case(
        "pandas",
        """
        import pandas as pd
        pd.set_option("display.max_rows", 4, "display.precision", 1)
        pd.options.display.float_format = "<{:.2f}>".format
        frame, options = pd.DataFrame({"a": [n / 7 for n in range(10)]}), pd.options.display
        hop()
        print(frame, pd.get_option("display.precision"), options.max_rows)
        with pd.option_context("display.max_rows", 2):
            hop()
            print(frame)
        print(frame)
        options.max_rows = 20
        print(pd.get_option("display.max_rows"))
        """,
        id="pandas' settings",
    ),
    case(
        "matplotlib",
        """
        import io, matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
        figure, (upper, lower) = plt.subplots(2)
        for n in range(2):
            upper.plot([1, 2, 3], [n, 2, n * n], label=str(n))
            lower.bar([1, 2, 3], [n, n, n])
            hop()
        upper.legend()
        print(plt.get_fignums(), plt.gcf() is figure, plt.gca() is lower, figure.axes[0] is upper)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="raw")
        print(len(drawn.getvalue()), sum(drawn.getvalue()))
        plt.close(figure)
        print(plt.get_fignums())
        """,
        id="figures of matplotlib",
    ),
    case(
        "rich",
        """
        from rich.console import Console
        from rich.progress import BarColumn, Progress
        console = Console(width=60)
        # the usual columns tell the time
        with Progress("{task.description} {task.completed}", BarColumn(), console=console) as progress:
            task = progress.add_task("work", total=4)
            for n in range(4):
                hop()
                progress.advance(task)
            print([n for n in progress.track(range(3)) if hop() or True])
            progress.print("inside")
        print(progress.tasks[0].completed, progress.finished, console.width)
        with console.status("busy"):
            hop()
        console.print("[bold]over[/bold]")
        """,
        id="progress of rich, half-way",
    ),
    case(
        "click",
        """
        import click, sys
        @click.group()
        @click.option("--times", default=1)
        @click.pass_context
        def group(context, times):
            context.obj = times
        @group.command()
        @click.argument("name")
        @click.pass_obj
        def greet(times, name):
            for turn in range(times):
                hop()
                click.echo("%s %d %s" % (name, turn, click.get_current_context().command_path))
            with click.progressbar(range(2)) as bar:
                print([hop() for _ in bar])
        sys.argv = ["program", "--times", "2", "greet", "ann"]
        group()
        """,
    ),
    case(
        "yaml",
        """
        import yaml
        class Thing(yaml.YAMLObject):
            yaml_tag = "!Thing"
        yaml.add_constructor("!pair", lambda loader, node: tuple(loader.construct_sequence(node)), yaml.SafeLoader)
        for document in yaml.load_all("a: 1\\n---\\nb: [1, 2]\\n---\\nc: !pair [3, 4]", yaml.SafeLoader):
            hop()
            print(document)
        print(yaml.dump(yaml.load("!Thing {a: 5}", yaml.Loader)))
        """,
    ),
    case(
        "tenacity",
        """
        from tenacity import retry, stop_after_attempt, wait_none
        tried = []
        @retry(stop=stop_after_attempt(4), wait=wait_none())
        def attempt():
            tried.append(1)
            hop()
            if len(tried) < 3:
                raise ValueError
            return len(tried)
        print(attempt(), attempt.statistics["attempt_number"])
        """,
    ),
    case(
        "sklearn",
        """
        import sklearn
        from sklearn.linear_model import Ridge
        sklearn.set_config(print_changed_only=False)
        hop()
        print(Ridge(), sklearn.get_config()["print_changed_only"])
        with sklearn.config_context(print_changed_only=True):
            hop()
            print(Ridge())
        print(Ridge())
        """,
        id="sklearn's settings",
    ),
    case(
        "polars",
        """
        import polars as pl
        pl.Config.set_tbl_rows(3)
        pl.Config.set_float_precision(2)
        frame = pl.DataFrame({"a": [n / 7 for n in range(9)]})
        hop()
        print(frame)
        """,
        id="polars' settings",
    ),
    case(
        "matplotlib",
        """
        import matplotlib
        matplotlib.rcParams["lines.linewidth"] = 7.5
        matplotlib.use("svg")
        hop()
        print(matplotlib.rcParams["lines.linewidth"], matplotlib.get_backend(), matplotlib.rcParams["font.size"])
        """,
        id="matplotlib's settings",
    ),
]


@pytest.mark.parametrize("source", MOVES)
def test_moves(same, source, tmp_path):
    same("\n" + source, patience=120, cwd=tmp_path)


REFUSED = [
    case(
        "lxml",
        """
        from lxml import etree
        tree = etree.fromstring("<a><b/></a>")
        attempt()
        print(etree.tostring(tree))
        """,
    ),
    case(
        "sqlalchemy",
        """
        from sqlalchemy import create_engine, text
        engine = create_engine("sqlite:///some.db")
        with engine.begin() as connection:
            connection.execute(text("create table if not exists t (x)"))
        attempt()
        with engine.begin() as connection:
            print(connection.execute(text("select count(*) from t")).scalar())
        """,
    ),
]


MODELS = """
from typing import List
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
class Base(DeclarativeBase):
    pass
class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    places: Mapped[List["Place"]] = relationship(back_populates="user")
class Place(Base):
    __tablename__ = "places"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    user: Mapped["User"] = relationship(back_populates="places")
"""
USING = """
ann = User(name="ann", places=[Place()])
query = select(User).where(User.name == "ann")
{move}
print(ann.name, ann.places[0].user is ann)
engine = create_engine("sqlite://")
Base.metadata.create_all(engine)
with Session(engine) as session:
    session.add(ann)
    session.commit()
    print(session.scalars(query).one() is ann, ann.places[0].id)
engine.dispose()
"""


@pytest.mark.skipif(not _is_installed("sqlalchemy"), reason="sqlalchemy is not installed for this release")
def test_models_of_sqlalchemy(move, refused, tmp_path):
    imports = "from sqlalchemy import create_engine, select\nfrom sqlalchemy.orm import Session\n"
    (said,) = refused("\n" + imports + MODELS + USING.format(move="attempt()"), error="UnmovableError")
    assert "User (class User)" in said
    assert "Place (class Place)" in said
    assert "by its name: ship={'models': 'name'}" in said
    (tmp_path / "models.py").write_text(MODELS)
    moving = USING.format(move="teleport(ship={'models': 'name'})")
    run = move("\n" + imports + "from models import *" + moving, patience=120)
    assert run.stdout == "ann True\nTrue 1\n", run.stderr
    assert run.ended_in == "peer"


@pytest.mark.parametrize("source", REFUSED)
def test_is_refused_by_name(refused, source, tmp_path):
    (said,) = refused("\n" + source, error="UnmovableError", cwd=tmp_path)
    assert "__main__ → tree (lxml.etree._Element)" in said or "dbapi_connection (sqlite3.Connection)" in said
