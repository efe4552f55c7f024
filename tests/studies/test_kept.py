"""What is kept of a study, the verb `study`, and what is refused in one sentence."""

import json
from pathlib import Path

import pytest

import classicnets as cn
from classicnets.studies import index
from classicnets.studies.keeping import Kept, read_kept
from classicnets.studies.study import KINDS


def test_the_directory_holds_a_report_a_figure_and_the_data(tmp_path):
    kept = cn.study("lenet5-layers", tmp_path)
    place = tmp_path / "lenet5-layers"
    assert sorted(p.name for p in place.iterdir()) == ["data.json", "figure.png", "report.md"]
    assert read_kept(place) == kept
    report = (place / "report.md").read_text()
    assert report.startswith(kept.text())
    for part in (kept.claim, kept.criterion, "corrected", "figure.png", "classicnets study", "tor"):
        assert part in report


def test_a_second_run_gives_the_same_data(tmp_path):
    for name in ("vgg-batches", "resnet-init"):
        texts = []
        for _ in range(2):
            cn.study(name, tmp_path)
            texts.append((tmp_path / name / "data.json").read_bytes())
        assert texts[0] == texts[1]


def test_the_list_says_what_has_been_found(run_cli, tmp_path):
    cn.study("lenet5-layers", tmp_path)
    (tmp_path / "vgg-stack").mkdir()
    (tmp_path / "vgg-memory").mkdir()
    (tmp_path / "vgg-memory/data.json").write_text("{")
    rows = json.loads(run_cli("study", "--json", "--out", tmp_path).out)
    states = {row["name"]: row["verdict"] for row in rows}
    assert states["lenet5-layers"] == "corrected"
    assert states["vgg-stack"] == "begun"
    assert states["vgg-memory"] == "damaged"
    assert states["resnet-degradation"] == "not yet run"
    kept = Path(__file__).parents[2] / "benchmarks/results/studies/vgg-average.json"
    assert states["vgg-average"] == json.loads(kept.read_text())["verdict"]
    assert len(rows) == len(index.STUDIES)
    out = run_cli("study", "--family", "vgg", "--kind", "structure", "--out", tmp_path).out
    assert "vgg-stack" in out
    assert "lenet5" not in out
    assert "vgg-best-column" not in out


def test_studies_run_by_name_and_all_of_a_kind_and_family(run_cli, tmp_path):
    status, out, _ = run_cli("study", "lenet5-layers", "--json", "--out", tmp_path)
    (found,) = json.loads(out)
    assert (status, found["verdict"]) == (0, "corrected")
    words = ("--all", "--kind", "history", "--family", "zfnet", "--out", tmp_path)
    status, out, _ = run_cli("study", *words)
    assert status == 0
    assert "**corrected**: Clarifai won" in out
    assert (tmp_path / "zfnet-winner/data.json").is_file()


def test_every_study_says_who_where_and_by_what_it_is_decided():
    for study in index.STUDIES.values():
        assert study.kind in KINDS
        assert all((study.claim, study.by, study.source, study.criterion, study.minutes))
        assert study.claim.endswith(".")
        assert bool(study.shrunk) == (study.kind == "training"), study.name


REFUSED = {
    "a name": (["lenet5-layer"], "no study 'lenet5-layer'; did you mean lenet5-layers"),
    "another name": (["x"], "no study 'x'; `classicnets study` lists all"),
    "a family's name": (
        ["vgg"],
        "no study 'vgg'; `classicnets study --family vgg` lists those of vgg",
    ),
    "a kind": (["--kind", "train"], "no kind 'train'; did you mean training?"),
    "all of none": (
        ["--all", "--kind", "structure", "--family", "history"],
        "none of lenet5-ilsvrc, error-by-year, human-error and ",
    ),
    "a family": (["--family", "vg"], "no family 'vg'; did you mean vgg?"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_unknown_is_refused_with_the_nearest(run_cli, case, tmp_path):
    words, message = REFUSED[case]
    status, out, err = run_cli("study", *words, "--out", tmp_path)
    assert (status, out) == (2, "")
    assert err.startswith(f"classicnets: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        json.dumps({"study": "vgg-stack"}),
        '{"a": ' * 5000,
        "\udcff".encode(errors="surrogatepass").decode("latin1"),
    ],
)
def test_damaged_data_are_refused_and_left(run_cli, tmp_path, content):
    path = tmp_path / "vgg-stack/data.json"
    path.parent.mkdir()
    path.write_text(content)
    status, _, err = run_cli("study", "vgg-stack", "--out", tmp_path)
    assert status == 2
    assert err.startswith(f"classicnets: {path} is damaged: ")
    assert err.endswith(f"remove {path.parent}, and run the study again\n")
    assert path.read_text() == content


def test_another_verdict_or_study_is_refused(tmp_path):
    kept = cn.study("vgg-stack", tmp_path)
    path = tmp_path / "vgg-stack/data.json"
    path.write_text(kept.json().replace('"confirmed"', '"surely"'))
    with pytest.raises(ValueError, match="is damaged"):
        cn.study("vgg-stack", tmp_path)
    path.write_text(kept.json().replace('"vgg-stack"', '"vgg-memory"'))
    with pytest.raises(ValueError, match="is of the study vgg-memory, not vgg-stack"):
        cn.study("vgg-stack", tmp_path)


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    note = tmp_path / "vgg-stack/mine.txt"
    note.parent.mkdir()
    note.write_text("mine")
    with pytest.raises(ValueError, match="not empty, and no study"):
        cn.study("vgg-stack", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot write .*Not a directory"):
        cn.study("vgg-stack", tmp_path / "file")
    assert [p.name for p in note.parent.iterdir()] == ["mine.txt"]


def test_a_result_shows_itself_as_its_report(tmp_path):
    kept = cn.study("lenet5-table", Path(tmp_path))
    assert isinstance(kept, Kept)
    assert str(kept) == repr(kept) == kept.text()
    assert "| links " in kept.text()
