"""Every benchmark card does what it claims. Each audit is also run on a card made to fail it.

What needs data runs on the bundled benchmarks and on those whose files are at hand in the offline mirror.
"""

import hashlib
import inspect
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from alignment import METRICS
from alignment.layers import check_disjoint
from benchmarks import BENCHMARKS, get_benchmark, list_benchmarks
from benchmarks.assemblies import to_repeats
from benchmarks.ceilings import ceiled, internal_consistency
from benchmarks.contracts import BenchmarkCard, DataArchive, DataFile, Recording
from benchmarks.fetch import locate, presence
from model_zoo.errors import DataIntegrity, VentralError

MIRROR = Path(os.environ.get("VENTRAL_MIRROR") or Path(__file__).parents[3] / "shared" / "data")
CARDS = list_benchmarks(all=True)
AT_HAND = tuple(card for card in CARDS if presence(card, MIRROR) != "missing")
Recordings = tuple[Recording, ...]


def named(value: object) -> str:
    """Return a test id for an audit, a change or a damage."""
    return getattr(value, "__name__", None) or (" ".join(value) if isinstance(value, dict) else str(value))


@lru_cache(maxsize=2)
def load(card: BenchmarkCard) -> Recordings:
    """Return the card's recordings, read from the mirror."""
    return card.load(lambda file: locate(file, mirror=MIRROR))


def audit_facts(card: BenchmarkCard) -> None:
    """Words say something, counts and degrees are positive, the time window runs forwards."""
    for text in (card.name, card.species, card.description, card.licence, card.citation):
        assert isinstance(text, str)
        assert text.strip()
    place = r"[\w-]+" if card.region == "behaviour" else rf"{card.region}(-[\w.-]+)?"
    assert re.fullmatch(rf"\w+\.{place}", card.name)
    assert min(card.version, card.n_stimuli, card.n_repeats) >= 1
    counted, other = card.n_neuroids, card.n_subjects
    if card.kind in ("geometry", "choices"):
        counted, other = other, counted
    assert counted >= 1
    assert other == 0
    assert 0 < card.visual_degrees < 180
    assert card.time_window is None or card.time_window[0] < card.time_window[1]


def audit_files(card: BenchmarkCard) -> None:
    """Files can be verified and fetched over https; a bundled benchmark has none."""
    assert card.bundled == (not card.files)
    assert len({file.name for file in card.files}) == len(card.files)
    for file in card.files:
        if isinstance(file, DataArchive):
            members = file.members()
            assert members
            assert all(re.fullmatch("[0-9a-f]{40}", blob) for blob in members.values())
            assert not any(Path(member).is_absolute() or ".." in Path(member).parts for member in members)
        else:
            assert file.sha256 or file.sha1 or file.git_blob_sha1
            assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
            for digest in (file.sha1, file.git_blob_sha1):
                assert digest is None or re.fullmatch("[0-9a-f]{40}", digest)
        assert file.urls
        assert all(url.startswith("https://") for url in file.urls)
        assert file.licence.strip()
        assert not Path(file.name).is_absolute()
        assert ".." not in Path(file.name).parts


def audit_rules(card: BenchmarkCard) -> None:
    """The default metric fits the data, the ceiled rule exists; one repeat or one subject means no ceiling."""
    assert card.default_metric in METRICS.names()
    assert METRICS.get(card.default_metric).kind == card.kind
    assert np.isfinite(ceiled(0.5, 0.8, rule=card.ceiled_rule))
    assert card.n_repeats > 1 or card.ceiling != "internal_consistency"
    assert card.n_subjects > 1 or card.ceiling != "between_subjects"
    rules = {"recording": ("internal_consistency",), "distributions": ("resampling",)}
    assert card.ceiling in (None, *rules.get(card.kind, ("between_subjects",)))


def audit_commitment(card: BenchmarkCard) -> None:
    """Layers are chosen on another benchmark of the same region."""
    assert card.commitment or not card.listed or card.kind == "choices"
    for name in card.commitment:
        other = get_benchmark(name)
        assert other.name != card.name
        assert other.region == ("IT" if card.region == "behaviour" else card.region)


def audit_counts(card: BenchmarkCard, recordings: Recordings) -> None:
    """The card's counts are those of the data."""
    assert sum(len(recording.stimuli.ids) for recording in recordings) == card.n_stimuli
    assert sum(recording.assembly.sizes["neuroid"] for recording in recordings) == card.n_neuroids
    assert max(to_repeats(recording.assembly)[0].shape[1] for recording in recordings) == card.n_repeats


def audit_joined(card: BenchmarkCard, recordings: Recordings) -> None:
    """Stimuli and responses are joined by unique ids, and every neuroid lies in the card's region."""
    neuroids = [str(n) for recording in recordings for n in recording.assembly["neuroid_id"].values]
    assert len(set(neuroids)) == len(neuroids)
    for recording in recordings:
        assembly, ids = recording.assembly, recording.stimuli.ids
        assert assembly.dims == ("presentation", "neuroid")
        assert len(set(ids)) == len(ids)
        shown = set(map(str, assembly["stimulus_id"].values))
        assert shown == set(ids)
        pairs = list(zip(assembly["stimulus_id"].values, assembly["repetition"].values, strict=True))
        assert len(set(pairs)) == len(pairs)
        assert set(assembly["region"].values) == {card.region}
        assert np.isfinite(assembly.values).any(axis=0).all()
        assert str(assembly.attrs["unit"]).strip()
        assert card.stratification is None or card.stratification in assembly.coords


def audit_images(card: BenchmarkCard, recordings: Recordings) -> None:
    """Every stimulus opens as an RGB image that is not blank, at the card's visual degrees."""
    for recording in recordings:
        assert recording.stimuli.visual_degrees == card.visual_degrees
        for stimulus_id in recording.stimuli.ids:
            image = recording.stimuli.image(stimulus_id)
            assert image.mode == "RGB"
            assert min(image.size) > 1
            assert any(low < high for low, high in image.getextrema())


def audit_ceiling(card: BenchmarkCard, recordings: Recordings) -> None:
    """A ceiling can be computed if and only if the card promises one."""
    averaged = [bool((recording.assembly["repetition"].values == -1).all()) for recording in recordings]
    if card.ceiling is None:
        assert any(averaged)
        return
    assert not any(averaged)
    for recording in recordings:
        estimate = internal_consistency(to_repeats(recording.assembly)[0])
        assert 0 < estimate.value <= 1


def audit_reproducible(card: BenchmarkCard, recordings: Recordings) -> None:
    """Loading again gives the same images and responses."""
    for first, again in zip(recordings, card.load(lambda file: locate(file, mirror=MIRROR)), strict=True):
        assert first.stimuli.content_hash == again.stimuli.content_hash
        assert np.array_equal(first.assembly.values, again.assembly.values, equal_nan=True)


def digests() -> dict[str, tuple[str, str]]:
    """Return the hashes of images and responses of every bundled benchmark."""
    return {
        card.name: (recording.stimuli.content_hash, hashlib.sha256(recording.assembly.values.tobytes()).hexdigest())
        for card in list_benchmarks(all=True)
        if card.bundled and card.kind == "recording"
        for recording in card.load(locate)
    }


def audit_disjoint(card: BenchmarkCard, recordings: Recordings) -> None:
    """The data on which layers are chosen hold no test stimulus."""
    for other in AT_HAND:
        if other.name not in card.commitment:
            continue
        try:
            check_disjoint(card, recordings, other, load(other))
        except VentralError as error:
            raise AssertionError(str(error)) from error


STATIC = (audit_facts, audit_files, audit_rules, audit_commitment)
LOADED = (audit_counts, audit_joined, audit_images, audit_ceiling, audit_reproducible, audit_disjoint)
RECORDINGS = tuple(card for card in AT_HAND if card.kind == "recording")


def test_no_benchmark_file_is_broken():
    assert BENCHMARKS.broken == ()
    assert {card.region for card in CARDS} == {"V1", "V2", "V4", "IT", "behaviour"}


def test_published_recordings_are_at_hand(mirror):
    assert {"Cowley2023.V4-201025", "Cowley2023.V4-210325"} <= {card.name for card in AT_HAND}


@pytest.mark.parametrize("audit", STATIC, ids=lambda audit: audit.__name__)
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_every_benchmark(card, audit):
    audit(card)


@pytest.mark.parametrize("card", RECORDINGS, ids=lambda card: card.name)
def test_every_recording_at_hand(card):
    for audit in LOADED:
        audit(card, load(card))


@pytest.mark.once
def test_bundled_data_are_the_same_in_another_process():
    code = "import hashlib, json\nfrom benchmarks import list_benchmarks\nfrom benchmarks.fetch import locate\n"
    code += inspect.getsource(digests) + "\nprint(json.dumps(digests()))"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert {name: tuple(pair) for name, pair in json.loads(done.stdout).items()} == digests()


@pytest.mark.parametrize(
    "file",
    sorted({file for card in AT_HAND for file in card.files if isinstance(file, DataFile)}, key=str),
    ids=lambda file: file.name,
)
def test_a_file_with_one_flipped_byte_is_refused(file, tmp_path):
    content = bytearray(locate(file, mirror=MIRROR).read_bytes())
    content[len(content) // 2] ^= 1
    copy = tmp_path / (file.mirror_path or file.name)
    copy.parent.mkdir(parents=True)
    copy.write_bytes(content)
    with pytest.raises(DataIntegrity, match=re.escape(str(copy))):
        locate(file, mirror=tmp_path)


SOUND = next(card for card in CARDS if not card.bundled and card.kind == "recording" and card.ceiling)
FILE = SOUND.files[0]
ARCHIVE = DataArchive("x.zip", FILE.urls, "MIT", "images", lambda: {"../1.png": "0" * 40})
BROKEN = (
    (audit_facts, {"licence": ""}),
    (audit_facts, {"n_neuroids": 0}),
    (audit_facts, {"region": "IT"}),
    (audit_facts, {"time_window": (170.0, 70.0)}),
    (audit_files, {"files": (replace(FILE, sha256=None, git_blob_sha1=None),)}),
    (audit_files, {"files": (replace(FILE, urls=("http://example.org/x",)),)}),
    (audit_files, {"files": (replace(FILE, name="../x"),)}),
    (audit_files, {"files": (FILE, FILE)}),
    (audit_files, {"files": (ARCHIVE,)}),
    (audit_files, {"bundled": True}),
    (audit_rules, {"default_metric": "plsx"}),
    (audit_rules, {"n_repeats": 1}),
    (audit_rules, {"kind": "choices"}),
    (audit_rules, {"ceiling": "between_subjects"}),
    (audit_facts, {"n_subjects": 3}),
    (audit_commitment, {"commitment": (SOUND.name,)}),
    (audit_commitment, {"commitment": ()}),
)


@pytest.mark.parametrize(
    ("audit", "change"), BROKEN, ids=lambda value: getattr(value, "__name__", None) or "".join(value)
)
def test_every_static_audit_can_fail(audit, change):
    with pytest.raises(AssertionError):
        audit(replace(SOUND, **change))


def other_ids(recording: Recording) -> Recording:
    """Return the recording with its first stimulus id exchanged for another's in the responses only."""
    ids = recording.assembly["stimulus_id"].values.astype(object)
    ids[ids == ids[0]] = "nobody"
    return replace(recording, assembly=recording.assembly.assign_coords(stimulus_id=("presentation", ids)))


def averages(recording: Recording) -> Recording:
    """Return the recording marked as averages only."""
    repetition = np.full(recording.assembly.sizes["presentation"], -1)
    return replace(recording, assembly=recording.assembly.assign_coords(repetition=("presentation", repetition)))


def blank(recording: Recording) -> Recording:
    """Return the recording with blank images."""
    from benchmarks.stimuli import from_arrays

    pixels = {stimulus: np.zeros((8, 8, 3), np.uint8) for stimulus in recording.stimuli.ids}
    return replace(recording, stimuli=from_arrays(pixels, visual_degrees=recording.stimuli.visual_degrees))


def noisier(recording: Recording) -> Recording:
    """Return the recording with other responses."""
    return replace(recording, assembly=recording.assembly + 1)


@pytest.mark.parametrize(
    ("audit", "change", "damage"),
    [
        (audit_counts, {"n_stimuli": 1}, None),
        (audit_counts, {"n_neuroids": 1}, None),
        (audit_counts, {"n_repeats": 99}, None),
        (audit_joined, {"region": "IT"}, None),
        (audit_joined, {"stratification": "colour"}, None),
        (audit_joined, {}, other_ids),
        (audit_images, {"visual_degrees": 1.5}, None),
        (audit_images, {}, blank),
        (audit_ceiling, {"ceiling": None}, None),
        (audit_ceiling, {}, averages),
        (audit_reproducible, {}, noisier),
    ],
    ids=named,
)
def test_every_audit_of_data_can_fail(audit, change, damage):
    card = next(card for card in RECORDINGS if card.ceiling is not None)
    recordings = tuple(map(damage, load(card))) if damage else load(card)
    audit(card, load(card))
    with pytest.raises(AssertionError):
        audit(replace(card, **change), recordings)


def test_the_audit_of_disjointness_can_fail():
    card, other = RECORDINGS[:2]
    with pytest.raises(AssertionError, match="shared stimuli"):
        audit_disjoint(replace(card, commitment=(other.name,)), load(other))


def test_a_file_without_a_digest_is_never_used(tmp_path):
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(DataIntegrity):
        locate(DataFile("x", ("https://example.org/x",), "MIT"), mirror=tmp_path)
