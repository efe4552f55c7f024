from pathlib import Path

import pytest

import classicnets as cn


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """LeNet-5 after an epoch on the digits."""
    out = tmp_path_factory.mktemp("runs") / "lenet5"
    cn.train("lenet5", epochs=1, out=out).finish()
    return out
