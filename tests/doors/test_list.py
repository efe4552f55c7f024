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
