"""The formats of exported files: a written table."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from classicnets.support.errors import suggest

from . import onnx_file, openvino_file, programs, weights_file
from .comparison import Scorer
from .job import Job


@dataclass(frozen=True)
class Format:
    """How a kind of file is named, written and opened, and in which precisions.

    `packages` are those of the extra that it needs; `engine` opens it.
    """

    name: str
    suffix: str
    precisions: tuple[str, ...]
    packages: tuple[str, ...]
    engine: str
    write: Callable[[Job, Path], None]
    open: Callable[[Path, Job], Scorer]
    takes_bytes: bool = True

    @property
    def opened_by(self) -> str:
        """The engine and its version."""
        return f"{self.engine} {version(self.engine)}"

    def require_packages(self) -> None:
        """Raises a ValueError that says what to install where a package is missing."""
        missing = [name for name in self.packages if not find_spec(name)]
        if missing:
            raise ValueError(
                f"{self.name} needs {' and '.join(missing)}: pip install 'classicnets[export]'"
            )


ALL = ("fp32", "fp16", "int8")
ONNX = ("onnx", "onnxscript", "onnxruntime")
FORMATS = {
    one.name: one
    for one in (
        Format("onnx", ".onnx", ALL, ONNX, "onnxruntime", onnx_file.write, onnx_file.open_file),
        Format("torch-export", ".pt2", ALL[:2], (), "torch", programs.write, programs.open_file),
        Format(
            "openvino",
            ".xml",
            ALL,
            (*ONNX, "openvino"),
            "openvino",
            openvino_file.write,
            openvino_file.open_file,
        ),
        Format(
            "safetensors",
            ".safetensors",
            ALL[:2],
            (),
            "torch",
            weights_file.write,
            weights_file.open_file,
            takes_bytes=False,
        ),
    )
}


def find_format(name: str, precision: str, with_preprocessing: bool) -> Format:
    """The format of this name. Raises a ValueError for an unknown one, and for a precision or a
    preprocessing that it does not have.
    """
    if name not in FORMATS:
        raise ValueError(f"no format {name!r}; {suggest(name, FORMATS)}")
    if precision not in ALL:
        raise ValueError(f"no precision {precision!r}; {suggest(precision, ALL)}")
    found = FORMATS[name]
    if precision not in found.precisions:
        raise ValueError(f"{name} has no {precision}; it takes {' or '.join(found.precisions)}")
    if with_preprocessing and not found.takes_bytes:
        others = ", ".join(one.name for one in FORMATS.values() if one.takes_bytes)
        raise ValueError(f"{name} holds weights, and no preprocessing; that is in {others}")
    return found
