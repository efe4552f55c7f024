"""Progressive resizing: smaller images in the first epochs cost less."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ProgressiveResizing:
    """Scales crops to `start` of their size at first, growing to full size at `until`.

    `until` is a fraction of the training; sizes are multiples of `multiple` pixels. The crop box
    stays the recipe's: the same part of the image, in fewer pixels. Common since the DAWNBench
    entries of 2018.

    >>> [ProgressiveResizing()(224, progress) for progress in (0.0, 0.3, 0.6, 0.9)]
    [128, 160, 192, 224]
    """

    start: float = 4 / 7
    until: float = 0.8
    multiple: int = 32

    def __post_init__(self):
        if not (0 < self.start <= 1 and 0 < self.until <= 1 and self.multiple >= 1):
            raise ValueError(
                f"start and until must lie in (0, 1] and multiple be at least 1, not {self}"
            )

    def __call__(self, crop: int, progress: float) -> int:
        fraction = self.start + (1 - self.start) * min(1.0, progress / self.until)
        return min(crop, max(1, round(crop * fraction / self.multiple)) * self.multiple)
