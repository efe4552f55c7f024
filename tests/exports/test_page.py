"""The commands of docs/export.md, one after another."""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

import classicnets as cn

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/export.md").read_text(encoding="utf-8")
(COMMANDS,) = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


SNIPPETS = re.findall(r"^```py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def read_elsewhere() -> None:
    """What the page says in Python, on each of ten digits, answers as `predict` does."""
    assert len(SNIPPETS) == 5
    test = cn.open_data("digits", 32, 1).test
    for k in range(10):
        Image.fromarray(test.pixels[k, 0].numpy()).save("digit.png")
        (wanted,) = cn.predict("runs/digits", "digit.png", top=1)
        variables: dict = {}
        for code in SNIPPETS:
            exec(code, variables)
            assert variables.pop("answer") == wanted.top[0][0], code


@pytest.mark.slow
def test_the_commands_of_the_page_run_one_after_another(run, run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, "runs/digits")
    for line in COMMANDS.splitlines():
        done = run_cli(*shlex.split(line)[1:])
        assert done.status == 0, (line, done.err)
        assert done.err == ""
        if " export " in line:
            agreed, images = map(int, re.findall(r"and (\d+) of (\d+) answers agree", done.out)[0])
            assert agreed >= images - 1
            assert done.out.splitlines()[-2].startswith("ms an image")
    assert Path("digits.bin").exists()
    assert "openvino_telemetry" not in sys.modules  # which would send word of the import
    assert not list(Path().glob(".*"))
    read_elsewhere()
    errors = [cn.evaluate(one).top1_error for one in ("runs/digits", "runs/again")]
    assert errors[0] == errors[1]


def test_every_network_was_exported_and_none_is_further_from_predict_than_the_page_says():
    results = ROOT / "benchmarks/results/exports-catalogue.json"
    rows = json.loads(results.read_text(encoding="utf-8"))
    assert rows.keys() == {*cn.names(), "vgg.net"}
    (most,) = re.findall(r"at most (\S+) of the largest score apart", PAGE)
    assert f"{max(row['difference'] for row in rows.values()):.1e}" == f"{float(most):.1e}"
    assert all(row["agreed"] == row["images"] for row in rows.values())


def test_the_page_says_what_is_allowed_and_which_formats_there_are():
    from classicnets.exports.comparison import MOST, OF_BYTES, ROUNDINGS, TOLERANCE
    from classicnets.exports.formats import FORMATS
    from classicnets.exports.onnx_file import OPSET

    for name, share in {**TOLERANCE, "fp32 with preprocessing": OF_BYTES}.items():
        (written,) = re.findall(rf"^\| {name} \| (\S+) \|$", PAGE, re.MULTILINE)
        assert float(written) == share
    for name, one in FORMATS.items():
        assert f"| {one.suffix} | `{name}` | {', '.join(one.precisions)} |" in PAGE
    assert f"opset {OPSET}" in PAGE
    (times, most) = re.findall(
        r"computed in float64 as well: (\d+) times .* than (\S+),", PAGE, re.S
    )[0]
    assert (float(times), float(most)) == (ROUNDINGS, MOST)
