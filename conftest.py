"""Types are checked in every call while the tests run: by jaxtyping in the modules whose types have
shapes, and by beartype alone in all others, whose wrappers take a fifth of the time.
"""

from pathlib import Path

from beartype import BeartypeConf
from beartype.claw import beartype_package
from jaxtyping import install_import_hook

SRC = Path(__file__).parent / "src"


def _with_shapes() -> tuple[str, ...]:
    """The modules that import jaxtyping."""
    files = (f for f in SRC.rglob("*.py") if "from jaxtyping import" in f.read_text("utf-8"))
    parts = (file.relative_to(SRC).with_suffix("").parts for file in files)
    return tuple(".".join(part).removesuffix(".__init__") for part in parts)


WITH_SHAPES = _with_shapes()
install_import_hook(WITH_SHAPES, "beartype.beartype")
# annotated variables are left to basedpyright
conf = BeartypeConf(claw_skip_package_names=WITH_SHAPES, claw_is_pep526=False)
beartype_package("classicnets", conf=conf)
