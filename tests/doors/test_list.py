"""The verb `list` on the command line."""


def test_list_finds_a_network_by_its_alias(run_cli):
    status, out, _ = run_cli("list", "vgg16")
    assert (status, out.splitlines()[1].split()[0]) == (0, "vgg_d")
