"""torchvision's networks as ONNX, by torch's exporter with its defaults: export_peers.py FOLDER"""

import sys
from pathlib import Path

import torch
import torchvision  # pyright: ignore[reportMissingImports]

NETWORKS = ("resnet50", "vgg16")

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        network = torchvision.models.get_model(name).eval()
        program = torch.onnx.export(network, (torch.zeros(1, 3, 224, 224),), dynamo=True)
        assert program is not None
        program.save(folder / f"{name}.onnx")
    made_by = f"torchvision {torchvision.__version__}, torch {torch.__version__}"
    (folder / "versions.txt").write_text(made_by)
