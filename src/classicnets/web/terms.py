"""Terms that explain themselves, in the papers' words, and figures with such a heading."""

from collections.abc import Mapping

from nicegui import ui

from .texts import Text

MEANINGS = {  # a term -> what it means
    "parameters": "learnable values",
    "multiply-adds": "one multiplication and one addition each",
    "memory of a training step": (
        "For one image: the weights, their gradients, the optimizer's values, and what the "
        "backward pass needs."
    ),
    "receptive field": "The pixels that one value of the last maps sees, along a side.",
    "training images": "The weights are learnt from these.",
    "validation images": (
        "They choose the best epoch and lower the learning rate, and nothing is learnt from them."
    ),
    "test images": "They are looked at once, at the end.",
    "mean of the channels": (
        "Pixels from 0 to 255. The mean over the training set is subtracted from each pixel "
        "(AlexNet, section 2; VGG, section 2.1)."
    ),
    "standard deviation of the channels": (
        "Pixels from 0 to 255. LeNet-5 scales its inputs to a mean of about 0 and a variance of "
        "about 1 (section II-B)."
    ),
    "Augmentation": (
        "The data set is enlarged by transformations that preserve the label, against overfitting "
        "(AlexNet, section 4.1)."
    ),
    "Duplicates": (
        "Files with the same bytes in two splits, so that the test would be on images seen in "
        "training, or under two labels, of which one is wrong."
    ),
    "structure": "The network as built, or arithmetic, decides it, in seconds.",
    "history": "What the papers print decides it.",
    "paired runs": "Pairs of runs with the same seeds decide it, by an interval and an exact test.",
}


def term(t: Text, name: str) -> ui.label:
    """A term that says what it means when one points at it, or a screen reader comes to it."""
    meaning = t(MEANINGS[name])
    label = ui.label(t(name)).classes("underline decoration-dotted cursor-help w-fit")
    label.props["tabindex"], label.props["aria-description"] = 0, meaning
    return label.tooltip(meaning)


def facts(t: Text, values: Mapping[str, str]) -> None:
    """Figures side by side, each above its name."""
    with ui.row().classes("gap-6"):
        for name, value in values.items():
            with ui.column().classes("gap-0"):
                ui.label(value).classes("text-h6")
                if name in MEANINGS:
                    term(t, name).classes("text-caption opacity-70")
                else:
                    ui.label(t(name)).classes("text-caption opacity-70")
