"""Curves over the epochs of a training, as a chart."""

from collections.abc import Sequence
from typing import Any

from classicnets.web.shell import COLOURS, FAINT

LINE = {"type": "line", "showSymbol": True, "animation": False}


def curves(names: Sequence[str]) -> dict[str, Any]:
    """An empty chart of lines over the epochs; names are drawn, not parsed."""
    grey = {"color": "#888"}
    return {
        "color": COLOURS,
        "legend": {"top": 0, "left": 0, "type": "scroll", "textStyle": grey},
        "tooltip": {"trigger": "axis", "renderMode": "richText"},
        "grid": {"left": 45, "right": 15, "bottom": 30, "top": 40},
        "xAxis": {"type": "value", **over(1), **FAINT},
        "yAxis": {"type": "value", **FAINT},
        "series": [{**LINE, "name": name, "data": []} for name in names],
    }


def over(epochs: int) -> dict[str, Any]:
    """An axis of so many epochs, which are whole numbers; of one, with room around it."""
    first, last = (1, epochs) if epochs > 1 else (0, 2)
    return {"min": first, "max": last, "minInterval": 1}
