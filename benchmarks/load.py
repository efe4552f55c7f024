"""Load on `classicnets serve`: many clients on loopback for minutes.

python benchmarks/load.py RUN IMAGES --seconds 600

Prints errors, requests and images per second, latencies, the server's memory over time, and beside
it what `predict` does with the same images in batches, in turn, on the same machine. Each client
sends one image after another, as the body of a request.
"""

import argparse
import http.client
import json
import random
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

SUFFIXES = {".png", ".jpg", ".jpeg"}
REFERENCE = """
import sys, time
from pathlib import Path
from classicnets.api.predict import Predictor
run, seconds, *paths = sys.argv[1:]
predictor = Predictor(run)
files = [(path, Path(path)) for path in paths]
batches = [files[i : i + 64] for i in range(0, len(files), 64)]
predictor.predict_files(batches[0], 5)
began, images = time.perf_counter(), 0
while time.perf_counter() - began < float(seconds):
    for batch in batches:
        predictor.predict_files(batch, 5)
        images += len(batch)
print(images / (time.perf_counter() - began))
"""


class Client(threading.Thread):
    """Sends images one after another until the time is over."""

    def __init__(self, port: int, images: list[bytes], until: float, seed: int):
        super().__init__()
        self.port, self.images, self.until = port, images, until
        self.random = random.Random(seed)
        self.seconds: list[float] = []
        self.errors: list[str] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        while time.perf_counter() < self.until:
            began = time.perf_counter()
            try:
                connection.request("POST", "/predict", self.random.choice(self.images))
                answer = connection.getresponse()
                content = json.loads(answer.read())
                if answer.status != 200 or len(content) != 1:
                    self.errors.append(f"{answer.status}: {content}")
            except (OSError, ValueError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
                connection.close()
            self.seconds.append(time.perf_counter() - began)
        connection.close()


def metric(port: int, name: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    found = re.search(rf"^{name} (\S+)$", connection.getresponse().read().decode(), re.MULTILINE)
    connection.close()
    return float(found[1]) if found else 0.0


def load(port: int, images: list[bytes], clients: int, seconds: float) -> dict:
    """What the clients saw, and the server's memory in MiB at ten moments."""
    began = time.perf_counter()
    threads = [Client(port, images, began + seconds, seed) for seed in range(clients)]
    for thread in threads:
        thread.start()
    memory = []
    for _ in range(10):
        time.sleep(seconds / 10)
        memory.append(round(metric(port, "classicnets_resident_bytes") / 2**20))
    for thread in threads:
        thread.join()
    times = sorted(second for thread in threads for second in thread.seconds)
    errors = [error for thread in threads for error in thread.errors]
    return {
        "requests": len(times),
        "errors": len(errors),
        "first error": errors[:1],
        "images per second": len(times) / (time.perf_counter() - began),
        "images per batch": metric(port, "classicnets_images_total")
        / metric(port, "classicnets_batches_total"),
        "p50 ms": 1e3 * times[len(times) // 2],
        "p99 ms": 1e3 * times[int(0.99 * len(times))],
        "memory MiB": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run")
    parser.add_argument("images", type=Path, help="folder of images, searched in depth")
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--most", type=int, default=256, help="images that are sent in turn")
    options = parser.parse_args()
    found = sorted(p for p in options.images.rglob("*") if p.suffix.lower() in SUFFIXES)
    paths = random.Random(0).sample(found, min(options.most, len(found)))
    reference = [sys.executable, "-c", REFERENCE, options.run, str(options.seconds / 4)]
    rates = [float(subprocess.check_output([*reference, *map(str, paths)], text=True))]
    command = [sys.executable, "-m", "classicnets", "serve", options.run, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        line = server.stdout.readline()  # pyright: ignore
        port = int(re.search(r":(\d+)/", line)[1])  # pyright: ignore
        images = [path.read_bytes() for path in paths]
        load(port, images, options.clients, min(5.0, options.seconds / 10))  # warm
        result = load(port, images, options.clients, options.seconds)
        server.terminate()
    rates.append(float(subprocess.check_output([*reference, *map(str, paths)], text=True)))
    result["predict in batches, images per second"] = rates
    result["of predict"] = result["images per second"] / (sum(rates) / 2)
    result["exit status"] = server.returncode
    for name, value in result.items():
        print(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value}")
    sys.exit(bool(result["errors"]))


if __name__ == "__main__":
    main()
