"""What the doctor finds, on this machine and on a planted sick one."""

import json
import subprocess
import sys

from typer.testing import CliRunner

from results.cli.app import app
from results.cli.doctor import examine, shadows


def test_a_healthy_installation_passes_and_says_everything_it_should(mirror):
    result = CliRunner().invoke(app, ["doctor", "--json", "-", "--mirror", str(mirror)])
    findings = json.loads(result.stdout)["findings"]
    assert result.exit_code == 0, [finding for finding in findings if finding["state"] == "problem"]
    named = {(finding["section"], finding["name"]) for finding in findings}
    assert {
        ("versions", "torch"),
        ("machine", "cpu"),
        ("machine", "memory"),
        ("storage", "cache root"),
        ("storage", "disk free"),
        ("optional parts", "brainscore"),
        ("benchmark data", "Cowley2023"),
        ("import packages", "alignment"),
    } <= named


def test_whatever_is_not_fine_comes_with_a_next_step():
    findings = examine()
    assert all(finding.next_step for finding in findings if finding.state != "ok")


def test_another_distribution_that_installs_one_of_our_names_is_a_problem(tmp_path, monkeypatch):
    folder = tmp_path / "other_project-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: other-project\nVersion: 1.0\n")
    (folder / "top_level.txt").write_text("benchmarks\n")
    assert {finding.state for finding in shadows()} == {"ok"}
    monkeypatch.syspath_prepend(str(tmp_path))
    (found,) = [finding for finding in shadows() if finding.state == "problem"]
    assert found.name == "benchmarks"
    assert "also installed by other-project" in found.value
    assert "pip uninstall other-project" in found.next_step


def test_a_folder_that_hides_one_of_our_packages_is_a_problem(tmp_path):
    (tmp_path / "alignment").mkdir()
    (tmp_path / "alignment" / "__init__.py").touch()
    code = (
        f"import sys, results.cli.rooms as rooms; sys.path.insert(0, {str(tmp_path)!r})\n"
        "print([room for room in rooms.ROOMS if rooms.found_folder(room) != rooms.own_folder(room)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "['alignment']\n", done.stderr
