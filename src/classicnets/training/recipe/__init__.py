"""A recipe: what a paper says about training, as a value, and the parts it is made of."""

from .averaging import Ema, Polyak
from .constraint import FilterRms
from .init import AsBuilt, FromRun, Gaussian, Glorot, HeNormal, LecunUniform
from .layer_rates import HeadFirst
from .loss import CrossEntropy, MapLoss, PenaltyLoss, WithAuxiliaries
from .optimizers import SGD, Adam, AdamW, CaffeSGD, LevenbergMarquardt, OptimizerSpec
from .progressive import ProgressiveResizing
from .recipe import Recipe, by_place
from .schedules import Constant, EpochTable, MultiStep, OneCycle, ReduceOnPlateau, WarmupUntil

# fmt: off
__all__ = [
    "SGD", "Adam", "AdamW", "AsBuilt", "CaffeSGD", "Constant", "CrossEntropy", "Ema",
    "EpochTable", "FilterRms", "FromRun", "Gaussian", "Glorot", "HeNormal", "HeadFirst",
    "LecunUniform", "LevenbergMarquardt", "MapLoss", "MultiStep", "OneCycle", "OptimizerSpec",
    "PenaltyLoss", "Polyak", "ProgressiveResizing", "Recipe", "ReduceOnPlateau", "WarmupUntil",
    "WithAuxiliaries", "by_place",
]
# fmt: on
