"""What people type who know other tools is answered with an option, argument or verb of ours."""

import re
import shlex

import pytest
import typer.main
from braceexpand import braceexpand

from classicnets.cli import application
from classicnets.cli.habits import ABSENT, VERBS, answer, answer_for, setting_instead
from classicnets.cli.verbs import verb_of
from classicnets.support.names import braced
from classicnets.support.other_tools import OURS, THEIRS

GROUP = typer.main.get_command(application())
CONTEXT = GROUP.make_context("classicnets", ["list"])
COMMANDS = {verb.name: verb for verb in (verb_of(c, CONTEXT) for c in GROUP.commands.values())}
TRAIN = COMMANDS["train"]


def written_in(message: str, verb: str) -> list[tuple[str, str]]:
    """(verb, option) for each option that an answer offers: of the verb named last before it."""
    found = []
    for part in re.split(r"(?=`?classicnets [a-z]+)", message.partition(" has no ")[2]):
        named = re.match(r"`?classicnets ([a-z]+)", part)
        words = re.findall(r"(?<![\w'(])(--?[a-z][a-z-]*)", part)
        found += [(named[1] if named else verb, word) for word in words]
    return found


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_answer_offers_what_the_verb_it_names_has_or_says_that_there_is_none(verb):
    for word in {*THEIRS, *ABSENT} - {*COMMANDS[verb].options}:
        message = answer_for(COMMANDS[verb], word, [*COMMANDS.values()])
        offered = written_in(message.replace(word, "", 1), verb)
        assert all(option in COMMANDS[name].options for name, option in offered), message
        argument = re.search(r"(?:`classicnets (\w+)` has|write) ([A-Z]+)$", message)
        if argument:
            assert argument[2] in COMMANDS[argument[1] or verb].arguments, message
        assert offered or argument or word in ABSENT, message
        assert len(message) < 300


@pytest.mark.parametrize("ours", OURS)
def test_every_line_of_the_table_is_of_some_verb(ours):
    assert any(verb.has(ours) for verb in COMMANDS.values())


@pytest.mark.parametrize("ours", VERBS)
def test_every_verb_of_other_tools_is_one_that_there_is(ours):
    name, *option = ours.split()
    assert name in ("--version", "--help") or set(option) <= COMMANDS[name].options.keys()
    assert not set(VERBS[ours].split()) & COMMANDS.keys()


@pytest.mark.parametrize(
    ("typed", "call"),
    [
        ("lenet5 --bs=32 --wd 1e-4", "lenet5 --batch-size 32 --weight-decay 1e-4"),
        ("lenet5 --learning-rate 0.1", "lenet5 --lr 0.1"),
        ("lenet5 --learning_rate 0.1", "lenet5 --lr 0.1"),
        ("lenet5 --lr0 0.1 --sched cosine", "lenet5 --set 'lr=OneCycle(0.1)'"),
        ("lenet5 --cos-lr --warmup-epochs 5", "lenet5 --set 'lr=OneCycle(0.01)'"),
        ("lenet5 --batch_size 8", "lenet5 --batch-size 8"),
        ("lenet5 --imgsz 64", "lenet5 --img-size 64"),
        ("lenet5 --momentum 0.5", "lenet5 --set optimizer.momentum=0.5"),
        ("lenet5 --amp -j 4 --epoch 3", "lenet5 --precision bf16 --workers 4 --epochs 3"),
        ("lenet5 --num-workers 4 --gpu 1", "lenet5 --workers 4 --device cuda:1"),
        ("lenet5 --output-dir a --seed 3", "lenet5 --out a --seed 3"),
        ("lenet5 --project a --no-aug", "lenet5 --out a --augment none"),
        ("--resume-from runs/a", "--resume runs/a"),
        ("photos --model resnet18", "resnet18 --data photos"),
        ("-a resnet18 photos", "resnet18 --data photos"),
        ("--arch resnet18 --data-path 'my photos'", "resnet18 --data 'my photos'"),
        ("data=photos model=resnet18 epochs=3", "resnet18 --data photos --epochs 3"),
        ("data=photos", "NETWORK --data photos"),
        ("resnet18 photos", "resnet18 --data photos"),
        ("resnet18 photos -b8", "resnet18 --data photos -b 8"),
    ],
)
def test_a_call_of_another_tool_is_answered_with_the_call_here(typed, call):
    message = answer(TRAIN, shlex.split(typed))
    assert message is not None
    assert message.endswith(f"; write: classicnets train {call}")
    assert answer(TRAIN, shlex.split(call)) is None


def test_the_folder_of_two_arguments_is_the_data(tmp_path):
    message = answer(TRAIN, [str(tmp_path), "resnet18"])
    assert message is not None
    assert message.endswith(f"write: classicnets train resnet18 --data {tmp_path}")


@pytest.mark.parametrize(
    "words",
    [
        "lenet5 --name -b --set lr=0.1 -b 8",
        "lenet5 -- --bs",
        "mine=2.py:net",
        "lenet5 --no-compile --epochs=3",
    ],
)
def test_a_command_as_it_is_written_here_is_left_alone(words):
    found = answer(TRAIN, shlex.split(words))
    assert found is None or "takes one network" in found


@pytest.mark.parametrize(
    ("verb", "typed", "message"),
    [
        ("show", "resnet18 --bs 4", "write: classicnets show resnet18 --batch-size 4"),
        ("show", "--model resnet18 --imgsz 64", "classicnets show resnet18 --input 64"),
        ("predict", "--weights r --source a --topk 3", "classicnets predict r a --top 3"),
        ("evaluate", "r --tta", "write: classicnets evaluate r --protocol ten-crop"),
        ("evaluate", "r --epochs 3", "`classicnets train` has --epochs VALUE"),
        ("evaluate", "r --bs 3", "`classicnets train` has --batch-size VALUE"),
        ("train", "lenet5 --pretrained", "--weights torchvision` starts from published weights"),
        ("train", "lenet5 --num-classes 3", "classes and channels are those of the data"),
        ("train", "lenet5 --epocks 3", "train has no --epocks; did you mean --epochs?"),
        (
            "train",
            "lenet5 --data s/train-{00..02}.tar",
            "has made 3 words of the shards; quote their name: --data 's/train-{00..02}.tar'",
        ),
        ("evaluate", "r --data {0..1}.tar", "quote their name: --data '{0..1}.tar'"),
        ("plan", "lenet5 --data=/s/0.tar /s/2.tar", "their name: --data '/s/{0,2}.tar'"),
        ("pack", "s/{0..3}.tar out", "quote their name: 's/{0..3}.tar'"),
        ("train", "lenet5 --xyz", "train has no --xyz; `classicnets train --help` shows all"),
    ],
)
def test_the_answer_is_the_verbs_own(run_cli, verb, typed, message):
    words = [each for word in typed.split() for each in braceexpand(word)]  # as shells do
    done = run_cli(verb, *words)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    "files",
    [
        ["train-000000", "train-000001", "train-000002"],
        ["train-000000", "train-000002", "val-000000"],
        ["8", "9", "10", "11"],
        ["a", "b-1"],
        ["only"],
    ],
)
def test_the_name_of_several_files_expands_to_these(files):
    assert sorted(braceexpand(braced(files))) == sorted(files)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("batch_size", "write --batch-size 3"),
        ("learning_rate", "write --lr 3"),
        ("imgsz", "write --img-size 3"),
        ("momentum", "write --set optimizer.momentum=3"),
        ("seed", "write --seed 3"),
        ("epoch", "write --epochs 3"),
        ("model", "write NETWORK"),
        ("num_classes", "classes and channels are those of the data"),
    ],
)
def test_a_setting_of_another_tool_is_answered_with_ours(run_cli, name, message):
    assert message in (setting_instead(TRAIN, name, "3") or "")
    done = run_cli("train", "lenet5", "--set", f"{name}=3")
    assert done.status == 2
    assert done.err.startswith(f"classicnets: a recipe has no {name}")
    assert message in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("resnet18",), "write: classicnets show resnet18, or: classicnets train resnet18 --data"),
        (("VGG-16",), "write: classicnets show VGG-16, or: classicnets train VGG-16 --data"),
        (("val", "runs/a"), "no command 'val'; write: classicnets evaluate"),
        (("resume",), "write: classicnets train --resume"),
        (("trian",), "no command 'trian'; did you mean train?"),
        (("data=a", "model=b"), "write: classicnets train b --data a"),
        (("--data", "a"), "--data goes after a command, as in `classicnets train NETWORK --data"),
        (("src",), "src is not a command; write: classicnets train NETWORK --data src"),
        (("diff", "a", "b", "c"), "diff takes A B, and not 'c' too"),
        (("demo", "x"), "demo takes no argument, and not 'x' too"),
        (("predict", "r", "src", "--csv", "p.csv"), "--csv prints, and takes no file; write: "),
    ],
)
def test_what_stands_in_the_place_of_a_verb_is_answered_with_a_call(
    run_cli, words, message, tmp_path, monkeypatch
):
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path)
    done = run_cli(*words)
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert message in done.err
    (tmp_path / "src" / "run.json").touch()
    assert "write: classicnets evaluate src" in run_cli("src").err


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_takes_another_one_for_its_value(name):
    options = COMMANDS[name].options
    for option in (option for option, takes in options.items() if takes):
        for other in options.keys() - {"-h", "--help"}:
            with pytest.raises(ValueError, match=f"^{option} needs a value"):
                GROUP.commands[name].make_context(name, [option, other], parent=CONTEXT)


def test_a_word_for_a_number_is_answered_with_the_option_and_the_word(run_cli):
    typed = {int: "integer", int | None: "integer", float: "number", float | None: "number"}
    tried = set()
    for verb, command in GROUP.commands.items():
        for param in command.get_params(CONTEXT):
            kind = param.type_descriptor.annotation
            if param.param_type_name == "option" and kind in typed:
                option = param.opts[0]
                said = run_cli(verb, f"{option}=x1").err
                wanted = f"classicnets: {option} should be a valid {typed[kind]}, not 'x1'"
                assert said.startswith(wanted), said
                tried.add(option)
    assert tried >= {"--seed", "--seconds", "--port", "--epochs", "--top"}
