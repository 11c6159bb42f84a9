"""Registries over planted content folders: broken, duplicate and foreign files, and what listing imports."""

import subprocess
import sys
import uuid
from importlib.metadata import EntryPoint

import pytest

from benchmarks.contracts import DataFile
from model_zoo import registry as registry_module
from model_zoo.errors import DuplicateName, UnknownName
from model_zoo.registry import Registry, natural_key

# The planted files' cards: any frozen dataclass with a name will do.
HEAD = "from benchmarks.contracts import DataFile\nCup = lambda name: DataFile(name, (), 'MIT')\n"


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Return a function that writes content files into a package of the test's own and gives a registry over it."""
    package = f"shelf_{uuid.uuid4().hex}"
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    def build(**files):
        for name, text in files.items():
            (folder / f"{name}.py").write_text(HEAD + text)
        return Registry("cup", DataFile, package, "ventral.test_cups")

    return build


def test_names_come_in_natural_order_from_all_files(shelf):
    cups = shelf(b="ENTRIES = (Cup('cup10'), Cup('cup2'))", a="ENTRIES = (Cup('Cup1'),)", empty="ENTRIES = ()")
    assert cups.names() == ("Cup1", "cup2", "cup10")
    assert [card.name for card in cups.cards()] == ["Cup1", "cup2", "cup10"]
    assert cups.get("cup2").name == "cup2"
    assert cups.broken == ()


def test_files_with_an_underscore_are_not_content(shelf):
    assert shelf(_tools="raise RuntimeError('imported')", a="ENTRIES = (Cup('a'),)").names() == ("a",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("CARDS = ()", "no ENTRIES"),
        ("ENTRIES = [Cup('x')]", "ENTRIES is a list, not a tuple"),
        ("ENTRIES = ('x',)", "ENTRIES holds a str, not a DataFile"),
        ("ENTRIES = (Cup(7),)", "a card's name is 7"),
        ("ENTRIES = (Cup('x'), Cup('x'))", "two cards called 'x'"),
    ],
)
def test_a_broken_file_is_reported_by_name_and_the_rest_stay_usable(shelf, text, reason):
    cups = shelf(bad=text, good="ENTRIES = (Cup('good'),)")
    assert cups.names() == ("good",)
    (broken,) = cups.broken
    assert broken.source.endswith("bad.py")
    assert reason in broken.reason


def test_a_name_claimed_twice_names_both_files(shelf):
    cups = shelf(one="ENTRIES = (Cup('mug'),)", two="ENTRIES = (Cup('mug'),)")
    for call in (cups.names, cups.cards, lambda: cups.get("mug"), lambda: cups.broken):
        with pytest.raises(DuplicateName, match=r"cup 'mug'.*one\.py and .*two\.py"):
            call()


def test_an_unknown_name_offers_the_near_ones(shelf):
    cups = shelf(a="ENTRIES = (Cup('espresso'), Cup('teacup'))")
    with pytest.raises(UnknownName, match=r"cup 'Expresso'.*did you mean espresso\?"):
        cups.get("Expresso")


def test_an_unknown_name_with_nothing_near_points_at_the_broken_file(shelf):
    with pytest.raises(UnknownName, match=r"bad\.py is broken: .*no_such_module"):
        shelf(bad="import no_such_module").get("mug")


def test_refresh_sees_a_new_file(shelf):
    cups = shelf(a="ENTRIES = (Cup('a'),)")
    assert cups.names() == ("a",)
    shelf(b="ENTRIES = (Cup('b'),)")
    assert cups.names() == ("a",)
    cups.refresh()
    assert cups.names() == ("a", "b")


def test_entry_points_may_name_a_module_or_a_tuple_and_may_be_broken(shelf, monkeypatch):
    cups = shelf(_other="ENTRIES = (Cup('module'),)\nMORE = (Cup('tuple'),)", a="ENTRIES = (Cup('own'),)")
    points = [
        EntryPoint("m", f"{cups.package}._other", "ventral.test_cups"),
        EntryPoint("t", f"{cups.package}._other:MORE", "ventral.test_cups"),
        EntryPoint("gone", "no_such_distribution", "ventral.test_cups"),
    ]
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [p for p in points if p.group == group])
    assert cups.names() == ("module", "own", "tuple")
    (broken,) = cups.broken
    assert broken.source == "entry point 'gone' (no_such_distribution)"


def test_natural_order_reads_numbers():
    ordered = ["1", "a", "A", "a1", "a2", "a10", "a-b", "V1", "v2", "V10"]
    ordered.sort(key=natural_key)
    assert ordered == ["1", "A", "a", "a1", "a2", "a10", "a-b", "V1", "v2", "V10"]
    assert sorted(["V10", "v2", "V1"], key=natural_key) == ["V1", "v2", "V10"]


def test_listing_every_room_imports_no_heavy_library():
    code = (
        "import sys, model_zoo, benchmarks, alignment\n"
        "model_zoo.list_models(); benchmarks.list_benchmarks(all=True); alignment.list_metrics()\n"
        "heavy = {'torch', 'timm', 'torchvision', 'sklearn', 'plotly', 'xarray', 'brainscore_vision'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
