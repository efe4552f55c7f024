"""Trained networks opened to explain images, kept for the next request; and images for a page."""

import io
from base64 import b64encode
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from classicnets.api.explaining import Explainer


def opened(run: Path) -> "Explainer":
    """The network of a run with its weights as they are now. Raises a ValueError without any."""
    return _opened(run, (run / "weights.safetensors").stat().st_mtime_ns)


@lru_cache(4)
def _opened(run: Path, changed: int) -> "Explainer":
    from classicnets.api.explaining import Explainer

    return Explainer(run)


def as_url(image: Image.Image) -> str:
    """An image that is sent with the page, and not by a file of its own that somebody removes."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
