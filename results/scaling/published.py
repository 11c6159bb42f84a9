"""Published tables of many models' scores, verified, and the fits that were published of them."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict

from benchmarks.contracts import DataFile
from benchmarks.fetch import locate, size_text, whereabouts
from model_zoo.errors import DataIntegrity, InvalidOption

if TYPE_CHECKING:
    import pandas as pd

Unit = Literal["legacy", "ratio", "explained"]

CITATION = (
    "Gokce, A. & Schrimpf, M. Scaling Laws for Task-Optimized Models of the Primate Visual Ventral Stream. "
    "ICML (2025); arXiv 2411.05712."
)
UNITS: Mapping[str, str] = {
    "legacy": "(r / ceiling)^2 for V1, V2, V4 and IT, as published; i2n consistency r / sqrt(ceiling) for behaviour",
    "ratio": "r / ceiling for V1, V2, V4 and IT; i2n consistency r / sqrt(ceiling) for behaviour, as published",
    "explained": "r^2 / ceiling for V1, V2, V4 and IT; i2n consistency r / sqrt(ceiling) for behaviour, as published",
}
NEURAL = ("V1", "V2", "V4", "IT")
# Brain-Score's own worked example of the public IT benchmark; no source at hand states those of V1, V2 and V4.
CEILINGS: Mapping[str, float] = {"IT": 0.81580}

_COMMIT = "e76f924edec181e0b872484eea57e63832281de7"
_RAW = f"https://raw.githubusercontent.com/epflneuroailab/scaling-primate-vvs/{_COMMIT}/scaling_primate_vvs/artifacts"
SCORES = DataFile(
    name="gokce2024/benchmark_scores.csv",
    urls=(f"{_RAW}/benchmark_scores.csv",),
    licence="MIT",
    sha256="3c902d135628cf0a63a537dad7ed2bb5a91738a759819d45a946d129eff06609",
    git_blob_sha1="cede5c7736360cff7d534d436c31c0cb4e917d90",
    n_bytes=1875009,
)
CHECKPOINTS = DataFile(
    name="gokce2024/benchmark_scores_ckpts.csv",
    urls=(f"{_RAW}/benchmark_scores_ckpts.csv",),
    licence="MIT",
    sha256="5745f1cc2306de9347fa6dca6df79e309f91e21ac5cb3f3e2d057adb860e7b76",
    git_blob_sha1="a8a6baadf74e82c579ef56e890f90a2aea6c3fa8",
    n_bytes=2225240,
)


class Reference(BaseModel):
    """A published fit.

    Attributes
    ----------
    log : parameters in the log form, by name.
    low, high : 2.5 and 97.5 percentiles of its bootstrap over rows.
    loss : sum over points of Huber(ln L - ln L_predicted).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    log: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    loss: float


def gokce2024(
    mirror: Path | None = None,
    offline: bool | None = None,
    *,
    unit: Unit = "legacy",
    ceilings: Mapping[str, float] | None = None,
    checkpoints: bool = False,
) -> pd.DataFrame:
    """Return the scores of Gokce and Schrimpf (2024): one row per model (993 of them) and benchmark (5).

    Parameters
    ----------
    mirror, offline : as for `benchmarks.fetch.locate`; a mirror may hold the file as published or gzipped.
    unit : of the column "score"; see `UNITS`. The scores were published in the older (r / ceiling)^2, before
        Brain-Score corrected its ceiling; `.attrs["unit"]` repeats what they are in.
    ceilings : region -> ceiling, for unit "explained"; takes precedence over `CEILINGS`.
    checkpoints : True: 43 of the models at 30 to 32 epochs each instead (columns "ckpt" and "epochs").

    Returns
    -------
    DataFrame
        Columns as published, among them model_id, arch, arch_family, dataset, seed, region ("V1" ... "Behavioral"),
        n_params, flops (one image, forward), n_samples_seen, total_flops (3 flops n_samples_seen: forward and
        backward), samples_per_class (0: all), acc, is_pretrained, is_random, is_ssl, is_adv, is_ablation and score.

    Raises
    ------
    DataIntegrity
        The file is not the published one.
    DataUnavailable
        It is neither here, nor in the mirror, nor reachable.
    InvalidOption
        An unknown unit, or one that needs a ceiling which is not known.

    References
    ----------
    Gokce and Schrimpf (2024), arXiv 2411.05712.
    """
    import pandas as pd

    if unit not in get_args(Unit):
        raise InvalidOption(
            "unit of gokce2024", expected=" or ".join(get_args(Unit)), got=repr(unit), next_step="choose one of them"
        )
    factors = _factors(unit, ceilings or {})
    table = pd.read_csv(io.BytesIO(_content(CHECKPOINTS if checkpoints else SCORES, mirror, offline)))
    table["score"] = converted(table["score"].to_numpy(), table["region"].to_numpy(), unit, factors)
    table.attrs["unit"] = UNITS[unit]
    return table


def converted(
    scores: np.ndarray[tuple[int], np.dtype[np.float64]],
    regions: np.ndarray[tuple[int], np.dtype[np.object_]],
    unit: Unit,
    ceilings: Mapping[str, float],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return legacy scores (n,) in another unit, signs kept; those of behaviour are the same in all of them.

    Parameters
    ----------
    regions : (n,) names; only `NEURAL` ones are converted.
    ceilings : region -> ceiling c, for "explained": r^2 / c = (r / c)^2 c.
    """
    neural = np.isin(regions.astype(str), NEURAL)
    if unit == "ratio":
        return np.where(neural, np.sign(scores) * np.sqrt(np.abs(scores)), scores)
    if unit == "explained":
        return np.asarray(scores * np.array([ceilings.get(str(region), 1.0) for region in regions]))
    return scores


def _factors(unit: Unit, given: Mapping[str, float]) -> Mapping[str, float]:
    """Return the ceilings that a unit needs."""
    if unit != "explained":
        return {}
    ceilings = {**CEILINGS, **given}
    unknown = [region for region in NEURAL if region not in ceilings]
    wrong = [f"{name} {value:g}" for name, value in ceilings.items() if name not in NEURAL or not 0 < value <= 1]
    if unknown or wrong:
        raise InvalidOption(
            'unit "explained" of gokce2024',
            expected=f"a ceiling in (0, 1] for each of {', '.join(NEURAL)}",
            got=f"none for {', '.join(unknown)}" if unknown else ", ".join(wrong),
            next_step='state it (e.g. from Brain-Score\'s public benchmarks), or use unit "ratio", which needs none',
        )
    return ceilings


def _content(file: DataFile, mirror: Path | None, offline: bool | None) -> bytes:
    """Return a published file's verified bytes; a gzipped copy counts by what is in it."""
    packed = whereabouts(replace(file, name=f"{file.name}.gz", n_bytes=None), mirror).path
    if packed is None or whereabouts(file, mirror).place != "missing":
        return locate(file, mirror=mirror, offline=offline).read_bytes()
    try:
        with gzip.open(packed) as stream:
            content = stream.read((file.n_bytes or 0) + 1)  # no more than the published file can hold
    except (OSError, EOFError, zlib.error) as error:
        raise DataIntegrity(
            str(packed), expected="a gzip file", got=str(error), next_step=f"replace {packed} by the published file"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise DataIntegrity(
            str(packed),
            expected=f"inside it, sha256 {file.sha256} ({size_text(file.n_bytes)})",
            got=f"{found} ({size_text(len(content))}{' or more' if len(content) > (file.n_bytes or 0) else ''})",
            next_step=f"replace {packed} by the published file",
        )
    return content
