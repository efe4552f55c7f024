"""Curves over the epochs of a training, as a chart."""

from collections.abc import Sequence
from typing import Any

from classicnets.web.shell import COLOURS, FAINT
from classicnets.web.texts import Text

LINE = {"type": "line", "showSymbol": True, "animation": False}


def curves(t: Text, value: str, names: Sequence[str]) -> dict[str, Any]:
    """An empty chart of the lines of a value over the epochs; names are drawn, not parsed."""
    grey = {"color": "#888"}
    return {
        "color": COLOURS,
        "legend": {"top": 0, "left": 0, "type": "scroll", "textStyle": grey},
        "tooltip": {"trigger": "axis", "renderMode": "richText"},
        "grid": {"left": 60, "right": 15, "bottom": 45, "top": 40},
        "xAxis": {"type": "value", **over(1), **FAINT, **named(t("epoch"), 25)},
        "yAxis": {"type": "value", **FAINT, **named(value, 42)},
        "series": [{**LINE, "name": name, "data": []} for name in names],
    }


def over(epochs: int) -> dict[str, Any]:
    """An axis of so many epochs, which are whole numbers; of one, with room around it."""
    first, last = (1, epochs) if epochs > 1 else (0, 2)
    return {"min": first, "max": last, "minInterval": 1}


def named(name: str, gap: int) -> dict[str, Any]:
    """The name of a chart's axis, beside its middle, so many pixels away."""
    grey = {"color": "#888"}
    return {"name": name, "nameLocation": "middle", "nameGap": gap, "nameTextStyle": grey}
