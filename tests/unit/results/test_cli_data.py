"""`ventral data`: files are listed, fetched, checked, found by scripts and carried to another machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import textwrap
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import get_benchmark
from benchmarks.fetch import data_folder, locate, presence
from model_zoo.errors import DataIntegrity, DataUnavailable, InvalidOption
from results.cli.app import app

REAL = "Cowley2023.V4-201025"
CHOOSES_ON = "Cowley2023.V4-210325"
ARCHIVED = "Geirhos2021.edge"


@pytest.fixture(autouse=True)
def _no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VENTRAL_MIRROR", raising=False)


def ventral(*arguments: object):
    """Run a command in this process."""
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def said(error: str) -> str:
    """Return text as one line, as errors wrap."""
    return " ".join(error.split())


@pytest.mark.parametrize("command", ["list", "fetch", "verify", "path", "export-mirror"])
def test_every_command_explains_itself_with_examples(command: str) -> None:
    result = ventral(command, "--help")
    assert result.exit_code == 0
    assert f"ventral data {command}" in said(result.stdout)
    assert "Examples" in result.stdout
    assert "--mirror" in result.stdout


def test_the_list_says_where_files_are_and_why_not(mirror: Path) -> None:
    rows = json.loads(ventral("list", REAL, CHOOSES_ON, "--json", "-", "--mirror", mirror).stdout)["files"]
    files = {file.name: file for name in (REAL, CHOOSES_ON) for file in get_benchmark(name).files}
    assert [row["name"] for row in rows] == list(files)
    for row in rows:
        file = files[row["name"]]
        assert (row["n_bytes"], row["licence"], row["urls"]) == (file.n_bytes, file.licence, list(file.urls))
        assert (row["place"], row["path"], row["reason"]) == ("mirror", str(mirror / file.name), None)
    own = data_folder() / rows[0]["name"]
    own.parent.mkdir(parents=True)
    own.write_bytes(b"short")
    row = json.loads(ventral("list", REAL, "--json", "-").stdout)["files"][0]
    assert (row["place"], row["path"]) == ("missing", None)
    assert row["reason"] == f"{own}: 5 bytes instead of {row['n_bytes']}"
    table = said(ventral("list", REAL).stdout)
    assert "missing: not downloaded" in table
    assert "5 bytes instead of" in table
    assert "here: 0 files" in table


def test_without_names_every_file_of_every_benchmark_is_listed_once() -> None:
    rows = json.loads(ventral("list", "--json", "-").stdout)["files"]
    names = [row["name"] for row in rows]
    assert len(set(names)) == len(names)
    assert {file.name for file in get_benchmark("Cowley2023.V4").files} < set(names)
    (shared,) = {tuple(row["benchmarks"]) for row in rows if row["name"] == "cowley2023/images_201025.zip"}
    assert shared == (REAL,)


def test_paths_for_scripts_are_verified_and_never_partial(mirror: Path, tmp_path: Path) -> None:
    result = ventral("path", REAL, ARCHIVED, "--mirror", mirror)
    assert result.exit_code == 0, result.stderr
    files = [file for name in (REAL, ARCHIVED) for file in get_benchmark(name).files]
    assert result.stdout.split() == [str(locate(file, mirror=mirror, offline=True)) for file in files]
    for file in get_benchmark(REAL).files:
        (tmp_path / file.name).parent.mkdir(exist_ok=True)
        shutil.copyfile(mirror / file.name, tmp_path / file.name)
    (tmp_path / files[1].name).unlink()
    result = ventral("path", REAL, "--mirror", tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert isinstance(result.exception.__context__, DataUnavailable)
    assert f"got 1 file, 854.5 kB missing: {files[1].name}; fetch them with `ventral data fetch {REAL}`" in said(
        result.stderr
    )
    assert ventral("path", "Simulated.V1").stdout == ""


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_verify_names_every_bad_file(mirror: Path, tmp_path: Path) -> None:
    assert ventral("verify", REAL, ARCHIVED, "--mirror", mirror).stdout.strip() == "13 sound, 0 not here."
    for file in get_benchmark(REAL).files:
        (tmp_path / file.name).parent.mkdir(exist_ok=True)
        shutil.copyfile(mirror / file.name, tmp_path / file.name)
    shutil.copytree(mirror / "geirhos2021/stimuli/edges", tmp_path / "geirhos2021/stimuli/edges")
    picture = next((tmp_path / "geirhos2021/stimuli/edges").rglob("*.png"))
    images = tmp_path / "cowley2023/images_201025.zip"
    for path in (picture, images):
        path.chmod(0o644)
        flip(path)
    result = ventral("verify", REAL, ARCHIVED, "--mirror", tmp_path)
    assert isinstance(result.exception.__context__, DataIntegrity)
    assert result.exit_code == 2
    bad = result.stdout.splitlines()
    assert len(bad) == 2
    assert f"bad: {images}: expected sha256" in bad[0]
    assert str(picture.relative_to(tmp_path / "geirhos2021/stimuli/edges")) in bad[1]
    assert "2 bad, 1 sound" in result.stderr
    assert ventral("verify", REAL).stdout.strip() == "0 sound, 2 not here."


@pytest.mark.parametrize("name", ["carried", "carried.v1", "carried.tar"])
def test_an_exported_mirror_serves_a_machine_that_has_nothing_else(mirror: Path, tmp_path: Path, name: str) -> None:
    destination = tmp_path / "new" / name
    result = ventral("export-mirror", destination, REAL, ARCHIVED, "--mirror", mirror)
    assert result.exit_code == 0, result.stderr
    folder = destination
    if name.endswith(".tar"):
        subprocess.run(["tar", "xf", destination, "-C", tmp_path], check=True)
        folder = tmp_path / "carried"
        with tarfile.open(destination) as tape:
            assert {(entry.uid, entry.uname, entry.mode) for entry in tape} == {(0, "", 0o644)}
    assert [path.name for path in destination.parent.iterdir()] == [name]
    cards = [get_benchmark(each) for each in (REAL, CHOOSES_ON, ARCHIVED)]
    assert [presence(card, folder) for card in cards] == ["mirror"] * 3
    files = [file for card in cards for file in card.files]
    for file in files:
        assert locate(file, mirror=folder, offline=True) == folder / file.name
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert written == {"README.txt", *(file.name for file in files)}
    readme = (folder / "README.txt").read_text()
    for needed in (*(card.citation for card in cards), *(file.licence for file in files), f"--mirror {folder.name}\n"):
        assert needed in readme
    assert f"{REAL}, {CHOOSES_ON}\n" in readme
    again = ventral("export-mirror", destination, REAL, "--mirror", mirror)
    assert isinstance(again.exception.__context__, InvalidOption)


def test_an_export_is_whole_or_not_there(mirror: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in (REAL, CHOOSES_ON):
        for file in get_benchmark(name).files:
            (source / file.name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(mirror / file.name, source / file.name)
    flip(source / "cowley2023/images_210325.zip")
    result = ventral("export-mirror", tmp_path / "made", REAL, "--mirror", source)
    assert isinstance(result.exception.__context__, DataIntegrity)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    (source / "cowley2023/images_201025.zip").unlink()
    result = ventral("export-mirror", tmp_path / "made.tar", REAL, "--mirror", source)
    assert isinstance(result.exception.__context__, DataUnavailable)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    assert ventral("export-mirror", tmp_path / "made").exit_code == 2
    assert "the ending .gz" in ventral("export-mirror", tmp_path / "made.tar.gz", REAL, "--mirror", mirror).stderr


def test_an_export_into_an_empty_folder_or_of_all_that_is_here(mirror: Path, tmp_path: Path) -> None:
    source, made = tmp_path / "source", tmp_path / "made"
    made.mkdir()
    one = get_benchmark(REAL).files[0]
    (source / one.name).parent.mkdir(parents=True)
    shutil.copyfile(mirror / one.name, source / one.name)
    assert ventral("export-mirror", made, "--mirror", source).exit_code == 0
    assert sorted(path.name for path in made.rglob("*") if path.is_file()) == ["README.txt", Path(one.name).name]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files the kernel will write")
@pytest.mark.parametrize("name", ["made", "made.tar"])
def test_an_export_to_a_full_disk_leaves_nothing(mirror: Path, tmp_path: Path, name: str) -> None:
    code = (
        "import resource, sys\nfrom results.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, "data", "export-mirror", tmp_path / name, REAL, "--mirror", mirror]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "expected room for 4 files, 9.4 MB" in said(done.stderr)
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which its files are published."""
    folder = tmp_path / "site"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield folder, f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()


def install_benchmarks(folder: Path, url: str, names: Sequence[str]) -> dict[str, str]:
    """Write a package that declares benchmarks of one file each; return the environment in which it is installed."""
    (folder / "others-1.0.dist-info").mkdir(parents=True)
    (folder / "others-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (folder / "others-1.0.dist-info/entry_points.txt").write_text("[ventral.benchmarks]\nothers = others\n")
    source = f"""
        import hashlib
        from benchmarks.contracts import BenchmarkCard, DataFile

        def card(name, commitment):
            sha256 = hashlib.sha256(name.encode()).hexdigest()
            file = DataFile(f"others/{{name}}.bin", (f"{url}/{{name}}",), "MIT", sha256=sha256)
            return BenchmarkCard(f"Others.{{name}}", 1, "V1", "macaque", "", "MIT", "Others et al.", 1, 1, 1, 8.0,
                                 lambda get: (), files=(file,), commitment=commitment)

        NAMES = {list(names)!r}
        ENTRIES = tuple(card(name, ("Others." + NAMES[-1],)) for name in NAMES)
    """
    (folder / "others.py").write_text(textwrap.dedent(source))
    return {**os.environ, "PYTHONPATH": str(folder), "NO_PROXY": "127.0.0.1"}


def test_fetching_goes_on_after_a_failed_file_and_says_which_in_the_end(site, tmp_path: Path) -> None:
    folder, url = site
    environment = install_benchmarks(tmp_path / "installed", url, ["gone", "good", "wrong", "chosen-on"])
    for name, content in {"good": b"good", "wrong": b"other", "chosen-on": b"chosen-on"}.items():
        (folder / name).write_bytes(content)
    command = [sys.executable, "-c", "from results.cli import main; main()", "data", "fetch"]
    three = ["Others.gone", "Others.good", "Others.wrong"]
    kept_archive = data_folder().parent / "downloads" / "0123abc.whole"
    kept_archive.parent.mkdir(parents=True)
    kept_archive.write_bytes(b"a repository's archive")
    done = subprocess.run([*command, *three], capture_output=True, text=True, env=environment)
    assert done.returncode == 2, done.stderr
    text = said(done.stderr)
    assert f"[1/4] others/gone.bin (size not published) failed: {url}/gone: HTTP status 404" in text
    assert f"failed: {url}/wrong: expected sha256" in text
    assert "got 2 failed: others/gone.bin, others/wrong.bin;" in text
    assert done.stdout == "Fetched 2 files, 2 of unpublished size; 0 were here already.\n"
    assert {path.name for path in (data_folder() / "others").iterdir()} == {"good.bin", "chosen-on.bin"}
    assert not kept_archive.exists()
    (folder / "gone").write_bytes(b"gone")
    (folder / "wrong").write_bytes(b"wrong")
    done = subprocess.run([*command, *three, "-q"], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Fetched 2 files, 2 of unpublished size; 2 were here already.\n"
    for name in ("gone", "good", "wrong", "chosen-on"):
        assert (data_folder() / f"others/{name}.bin").read_bytes() == name.encode()


def test_fetching_asks_for_names_or_all() -> None:
    for arguments in ((), ("--all", REAL)):
        result = ventral("fetch", *arguments)
        assert isinstance(result.exception.__context__, InvalidOption)
        assert "expected benchmarks or --all" in said(result.stderr)


def test_fetching_what_is_in_the_mirror_needs_no_network(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENTRAL_OFFLINE", "1")
    result = ventral("fetch", REAL, "--mirror", mirror)
    assert result.stdout == "Fetched 0 files; 4 were here already.\n"
    result = ventral("fetch", REAL)
    assert result.exit_code == 2
    assert result.stderr.count("no network is used (--offline or VENTRAL_OFFLINE)") == 4
