"""The verb `list` on the command line."""


def test_list_finds_a_network_by_its_alias(run_cli):
    status, out, _ = run_cli("list", "vgg16")
    assert (status, out.splitlines()[1].split()[0]) == (0, "vgg_d")


def test_list_takes_a_part_of_a_name_and_says_where_nothing_matches(run_cli):
    status, out, _ = run_cli("list", "VGG")
    assert (status, out.count("vgg_")) == (0, 7 + 4)  # and the other names below
    status, out, err = run_cli("list", "mobilenet")
    assert (status, out) == (2, "")
    assert err == "classicnets: no network matches 'mobilenet'; `classicnets list` shows all\n"


def test_a_narrow_terminal_cuts_no_number_and_no_column(run_cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    out = run_cli("list", "alexnet").out
    assert "60,965,224" in out  # of section 3.5 and Figure 2
    assert out.splitlines()[1].endswith("40.7 / 18.2")  # Table 2
    heads = " ".join(run_cli("study").out.splitlines()[:2]).split()
    assert {"study", "kind", "minutes", "verdict", "claim,", "who"} <= {*heads}
