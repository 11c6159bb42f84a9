"""Assemblies keep every response with its stimulus and neuroid, whatever the order of presentations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.assemblies import average_repetitions, make_assembly, mean_over_repeats, to_repeats
from model_zoo.errors import DataIntegrity, ShapeMismatch, VentralError


def presentations(seed: int = 0) -> pd.DataFrame:
    """Presentations in random order, of stimuli with different numbers of repeats."""
    rng = np.random.default_rng(seed)
    rows = [(f"s{i:02d}", r, "cat" if i % 2 else "dog") for i in range(20) for r in range(1 + i % 4)]
    table = pd.DataFrame(rows, columns=["stimulus_id", "repetition", "object_name"])
    table = table.sample(frac=1, random_state=seed).reset_index(drop=True)
    table["n0"], table["n1"], table["n2"] = rng.poisson(5, (3, len(table))).astype(float)
    return table


def assemble(table: pd.DataFrame, **changes: object):
    arguments = {
        "stimulus_ids": table["stimulus_id"].tolist(),
        "repetitions": table["repetition"].tolist(),
        "neuroid_ids": ["n0", "n1", "n2"],
        "region": "V4",
        "animal": "PE",
        "unit": "spikes/100 ms",
        "presentation_coords": {"object_name": table["object_name"].tolist(), "trial": list(range(len(table)))},
    }
    return make_assembly(table[["n0", "n1", "n2"]].to_numpy(), **{**arguments, **changes})


def test_an_assembly_has_the_promised_coordinates() -> None:
    assembly = assemble(presentations())
    assert assembly.dims == ("presentation", "neuroid")
    assert assembly.attrs["unit"] == "spikes/100 ms"
    assert set(assembly.coords) == {
        "stimulus_id",
        "repetition",
        "object_name",
        "trial",
        "neuroid_id",
        "region",
        "animal",
    }
    assert all(coord.dims in (("presentation",), ("neuroid",)) for coord in assembly.coords.values())
    assert not assembly.indexes
    assert set(assembly["animal"].values) == {"PE"}


def test_averages_equal_pandas_in_order_of_first_appearance() -> None:
    table = presentations()
    table.loc[table.stimulus_id.isin(["s00", "s07"]), "n1"] = np.nan
    table.loc[table.index[table.stimulus_id == "s05"][0], "n2"] = np.nan
    averaged = average_repetitions(assemble(table))
    expected = table.groupby("stimulus_id", sort=False).mean(numeric_only=True)
    assert averaged["stimulus_id"].values.tolist() == expected.index.tolist()
    assert averaged["stimulus_id"].values.tolist() != sorted(expected.index)
    np.testing.assert_allclose(averaged.values, expected[["n0", "n1", "n2"]].to_numpy(), rtol=1e-14)
    assert np.isnan(averaged.sel(neuroid=1).values).sum() == 2
    names = table.groupby("stimulus_id", sort=False)["object_name"].first()
    assert averaged["object_name"].values.tolist() == names.tolist()
    assert "trial" not in averaged.coords
    assert set(averaged["repetition"].values) == {-1}
    assert averaged.attrs == {"unit": "spikes/100 ms"}
    assert averaged["neuroid_id"].values.tolist() == ["n0", "n1", "n2"]


def test_repeats_hold_every_presentation_once() -> None:
    table = presentations()
    repeats, ids = to_repeats(assemble(table))
    assert repeats.shape == (20, 4, 3)
    assert ids == tuple(table["stimulus_id"].drop_duplicates())
    for row in table.itertuples():
        np.testing.assert_array_equal(repeats[ids.index(row.stimulus_id), row.repetition], [row.n0, row.n1, row.n2])
    assert (~np.isnan(repeats[:, :, 0])).sum() == len(table)
    np.testing.assert_array_equal(average_repetitions(assemble(table)).values, mean_over_repeats(repeats))


def test_averages_only_means_one_row_per_stimulus() -> None:
    table = presentations().drop_duplicates("stimulus_id")
    assembly = assemble(table, repetitions=None)
    assert set(assembly["repetition"].values) == {-1}
    np.testing.assert_array_equal(average_repetitions(assembly).values, assembly.values)
    assert to_repeats(assembly)[0].shape == (20, 1, 3)
    with pytest.raises(DataIntegrity, match="every repetition of a stimulus once"):
        assemble(presentations(), repetitions=None)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"neuroid_ids": ["n0", "n1"]}, ShapeMismatch, r"2 neuroids\), got \(50, 3\)"),
        ({"neuroid_ids": ["n0", "n1", "n1"]}, DataIntegrity, "every neuroid id once, got 'n1' twice"),
        ({"repetitions": [0, 1]}, ShapeMismatch, "coordinate 'repetition': expected 50 values"),
        ({"repetitions": [0] * 50}, DataIntegrity, "every repetition of a stimulus once"),
        ({"presentation_coords": {"object_name": ["cat"]}}, ShapeMismatch, "coordinate 'object_name': expected 50"),
        ({"presentation_coords": {"region": ["V1"] * 50}}, DataIntegrity, "beside the standard ones, got 'region'"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], error: type[VentralError], says: str) -> None:
    with pytest.raises(error, match=says):
        assemble(presentations(), **changes)


def test_infinite_responses_are_refused() -> None:
    table = presentations()
    table.loc[3, "n1"] = np.inf
    with pytest.raises(DataIntegrity, match="finite responses or NaN"):
        assemble(table)


def test_the_callers_array_stays_its_own() -> None:
    values = np.zeros((2, 1))
    assembly = make_assembly(values, stimulus_ids=["a", "b"], neuroid_ids=["n"], region="V1", unit="z")
    assembly.values[:] = 1
    assert not values.any()
