"""What one does with a network, from a shell or from Python.

A network is a name of the catalogue, `path/to/file.py:builder`, or a module of one's own.
"""

from .judge import Prediction, evaluate, load, predict
from .read import show
from .train import Training, resume, train

__all__ = ["Prediction", "Training", "evaluate", "load", "predict", "resume", "show", "train"]
