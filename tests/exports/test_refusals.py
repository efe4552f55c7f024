"""What cannot be exported is answered with one sentence, and leaves nothing behind."""

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import classicnets as cn
from classicnets.exports import formats
from classicnets.exports.weights_file import KEY

MINE = """
from torch import nn

def net(classes, channels):
    return nn.Sequential(nn.Conv2d(channels, 4, 5, stride=4), nn.Flatten(), nn.LazyLinear(classes))
"""


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            ["--out", "a.onx"],
            "a.onx says no format; name one, or end it in .onnx, .pt2, .xml, .saf",
        ),
        (["--out", "a.onnx", "--format", "onxx"], "no format 'onxx'; did you mean onnx?"),
        (["--out", "a.onnx", "--format", "openvino"], "of openvino ends in .xml, not 'a.onnx'"),
        (["--out", "a.onnx", "--precision", "fp61"], "no precision 'fp61'; did you mean fp16"),
        (["--out", "a.pt2", "--precision", "int8"], "torch-export has no int8; it takes fp32 or f"),
        (["--out", "a.safetensors", "--precision", "int8"], "safetensors has no int8; it takes fp"),
        (["--out", "a.safetensors", "--with-preprocessing"], "safetensors holds weights, and no p"),
        (["--out", "none/a.onnx"], "no such folder: none"),
        (["--out", "there.onnx"], "there.onnx exists; name a new file, or add --exist-ok to repl"),
        (["--out", "folder.onnx", "--exist-ok"], "folder.onnx is a folder"),
        (["--out", "a.onnx", "--data", "none"], "none"),
        (["--out", "a.onnx", "--weights", "b"], "export has no --weights"),
        ([], "export needs --out FILE, such as --out digits.onnx"),
    ],
)
def test_a_mistake_is_one_sentence(run, run_cli, tmp_path, monkeypatch, words, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.onnx").touch()
    (tmp_path / "folder.onnx").mkdir()
    done = run_cli("export", run, *words)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1), done.err
    assert reason in done.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.onnx", "there.onnx"]


@pytest.mark.parametrize("missing", ["onnxscript", "openvino"])
def test_a_missing_package_is_named_with_what_installs_it(run, tmp_path, monkeypatch, missing):
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == missing else name)
    with pytest.raises(
        ValueError, match=rf"^openvino needs {missing}: pip install 'classicnets\[export\]'$"
    ):
        cn.export(run, tmp_path / "a.xml")


def test_images_that_are_gone_are_replaced_by_noise_but_not_for_int8(make_run, tmp_path):
    run = make_run("lenet5")
    done = cn.export(run, tmp_path / "a.safetensors")
    assert done.source == "noise, for the run's images are gone"
    with pytest.raises(ValueError, match=r"no longer at /gone/photos; .*data='PLACE'"):
        cn.export(run, tmp_path / "a.onnx", precision="int8")
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_folder_of_images_takes_the_place_of_those_that_are_gone(
    write_folder, run_cli, make_run, tmp_path
):
    photos, run = write_folder(tmp_path / "photos"), make_run("lenet5")
    done = run_cli("export", run, "--out", tmp_path / "a.pt2", "--data", photos)
    assert done.status == 0, done.err
    assert f"images in {photos}" in done.out


def test_code_of_your_own_runs_only_if_it_is_named(run_cli, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(MINE)
    cn.train(f"{mine}:net", overrides={"steps": 1}, out=tmp_path / "run").finish()
    words = ("export", tmp_path / "run", "--out", tmp_path / "a.pt2")
    refused = run_cli(*words)
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert f"whose code runs only when you name it: add --network {mine}:net" in refused.err
    done = run_cli(*words, "--network", f"{mine}:net")
    assert done.status == 0, done.err
    cn.export(tmp_path / "run", tmp_path / "a.safetensors", network=f"{mine}:net")
    with pytest.raises(ValueError, match="holds weights of your own network"):
        cn.import_weights("lenet5", tmp_path / "a.safetensors", tmp_path / "back")


@pytest.mark.parametrize("field", ["config", "scale", "classes"])
def test_a_file_of_weights_whose_run_is_incomplete_is_refused(make_run, tmp_path, field):
    file = tmp_path / "a.safetensors"
    cn.export(make_run("lenet5"), file)
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    metadata[KEY] = metadata[KEY].replace(f'"{field}"', '"other"')
    save_file(load_file(file), file, metadata)
    with pytest.raises(ValueError, match=r"a\.safetensors is damaged"):
        cn.import_weights("lenet5", file, tmp_path / "back")
    assert not (tmp_path / "back").exists()
