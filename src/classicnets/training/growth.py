"""Pictures that are small at first and grow: early passes cost less."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progressive:
    """The crop is brought to `start` of its size at first, to all of it from `until` on.

    `until` is a share of the training; sizes are multiples of `step` pixels. What part of the
    picture is seen stays the recipe's: the same window, in fewer pixels.
    Common since the DAWNBench entries of 2018.

    >>> [Progressive()(224, progress) for progress in (0.0, 0.3, 0.6, 0.9)]
    [128, 160, 192, 224]
    """

    start: float = 4 / 7
    until: float = 0.8
    step: int = 32

    def __post_init__(self):
        if not (0 < self.start <= 1 and 0 < self.until <= 1 and self.step >= 1):
            raise ValueError(
                f"start and until must lie in (0, 1] and step be at least 1, not {self}"
            )

    def __call__(self, crop: int, progress: float) -> int:
        share = self.start + (1 - self.start) * min(1.0, progress / self.until)
        return min(crop, max(1, round(crop * share / self.step)) * self.step)
