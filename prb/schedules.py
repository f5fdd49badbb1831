"""Learning rates that change: functions of the number of steps taken so far, from 0 on.

A rate that does not change is a number.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Exponential:
    """lr times `decay` with every step."""

    lr: float
    decay: float

    def __call__(self, step: int) -> float:
        return self.lr * self.decay**step


@dataclass(frozen=True)
class Cosine:
    """From `lr` to `end` along half a cosine in so many steps, and `end` from then on."""

    lr: float
    steps: int
    end: float = 0.0

    def __call__(self, step: int) -> float:
        done = min(step / self.steps, 1.0)
        return self.end + (self.lr - self.end) * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True)
class Step:
    """lr times `factor` after every `every` steps."""

    lr: float
    factor: float
    every: int

    def __call__(self, step: int) -> float:
        return self.lr * self.factor ** (step // self.every)
