"""A comparison as files: strict JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from alignment.comparison import Comparison
from results.records import strict

COLUMNS = (
    *("row", "region", "metric", "quantity", "higher_is_better", "first", "second", "first_value", "second_value"),
    *("difference", "error", "interval_low", "interval_high", "p", "p_adjusted", "p_stimuli", "p_units"),
    *("effect_size", "share_of_units", "paired", "better", "verdict"),
)


def to_json(comparison: Comparison, provenance: Mapping[str, Any]) -> str:
    """Return ``{"comparison": {...}, "provenance": {...}}`` as strict JSON; null where no finite number is."""
    content = {"comparison": asdict(comparison), "provenance": provenance}
    return json.dumps(strict(content), indent=2, allow_nan=False) + "\n"


def to_csv(comparison: Comparison) -> str:
    """Return one line per pair of models and row, averages last."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in (*comparison.rows, *comparison.aggregates):
        values = {each.model: each.value for each in row.standings}
        for each in row.differences:
            found = asdict(each)
            (low, high), value = found.pop("interval"), found.pop("value")
            line = {
                **found,
                "row": row.name,
                "region": row.region,
                "metric": row.metric,
                "quantity": row.quantity,
                "higher_is_better": row.higher_is_better,
                "first_value": values[each.first],
                "second_value": values[each.second],
                "difference": value,
                "interval_low": low,
                "interval_high": high,
                "verdict": each.verdict,
            }
            writer.writerow(strict(line))
    return text.getvalue()
