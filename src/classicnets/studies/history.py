"""The six networks side by side: the competition, its years, and people."""

from .charts import Bars
from .facts import years
from .study import NOTES, Finding, history
from .verdicts import equal, holding

FIRST = 2010  # of the ILSVRC
# top-5 test error of the best entry, %; the papers that print it are in docs/claims.md
BY_YEAR = {
    "2010 NEC-UIUC, sparse coding": 28.2,
    "2011 XRCE, Fisher vectors": 25.8,
    "2012 AlexNet, 8 layers": 15.3,
    "2013 Clarifai, 8 layers": 11.2,
    "2014 VGG, 19 layers, second": 7.3,
    "2014 GoogLeNet, 22 layers": 6.7,
    "2015 ResNet, 152 layers": 3.57,
}
HUMAN = 5.1  # one trained annotator, Russakovsky et al., arXiv:1409.0575


@history(
    claim="LeNet-5 took first place in the ILSVRC of 1998; all six networks come from the ILSVRC.",
    source="LeCun et al. 1998; Russakovsky et al., arXiv:1409.0575",
    criterion="corrected if the competition began after LeNet-5 was published",
)
def lenet5_ilsvrc() -> Finding:
    """1998 against 2010."""
    found = dict(years())
    before = [name for name, year in found.items() if year < FIRST]
    answer = (
        f"The ILSVRC began in {FIRST}; LeNet-5 is a journal paper of {found['lenet']} on "
        "handwritten characters, evaluated on MNIST. The other five are of the competition's years."
    )
    figures = {**found, "first ILSVRC": FIRST}
    chart = Bars({name: year - 1990 for name, year in figures.items()}, "years since 1990")
    return Finding(equal([], before), answer, figures, chart)


@history(
    claim="The columns of the chart of errors by year are one network each.",
    by="the chart of the case study and of many lectures",
    source="Russakovsky et al., arXiv:1409.0575; arXiv:1409.1556v6, Table 7; arXiv:1409.4842, "
    "Table 2; arXiv:1512.03385, Table 5",
    criterion="corrected if a column is the error of several networks averaged, or of a method "
    "that is not a network",
)
def error_by_year() -> Finding:
    """The best top-5 test error of each year."""
    several = {"2012": 7, "2013": "many", "2014 VGG": 7, "2014 GoogLeNet": 7, "2015": 6}
    answer = (
        "None is a single network: 2010 and 2011 are no networks at all, and from 2012 on several "
        "are averaged, 7 (AlexNet, VGG and GoogLeNet) and 6 (ResNet). AlexNet's 15.3 % and "
        "Clarifai's 11.2 % are with other images too. 2013 is Clarifai, not ZFNet."
    )
    figures = {**BY_YEAR, **{f"{k}, networks": n for k, n in several.items()}, "human": HUMAN}
    single = [name for name, count in several.items() if count == 1]
    verdict = equal(5, len(single))
    return Finding(
        verdict, answer, figures, Bars(BY_YEAR, "top-5 test error, %", HUMAN, "a person")
    )


@history(
    claim="People err on about 5 % of these images, and ResNet is better than people.",
    source="Russakovsky et al., arXiv:1409.0575; arXiv:1512.03385, Table 5",
    criterion="confirmed if the published human error is 5 % within 0.5 points and ResNet's lower",
)
def human_error() -> Finding:
    """One trained annotator."""
    resnet = BY_YEAR["2015 ResNet, 152 layers"]
    figures = {"human": HUMAN, "ResNet, 6 networks": resnet}
    answer = (
        f"{HUMAN} % is the top-5 error of one trained annotator, on a part of the test images; six "
        f"residual networks together come to {resnet} %."
    )
    holds = (abs(HUMAN - 5) <= 0.5, resnet < HUMAN)
    return Finding(holding(holds), answer, figures, Bars(figures, "top-5 error, %"))


@history(
    claim="ResNet comes from the Asia-Pacific institute of Microsoft.",
    source="He et al., arXiv:1512.03385, title page",
    criterion="corrected if the paper names another institution",
)
def resnet_institute() -> Finding:
    """The affiliation on the title page."""
    printed = "Microsoft Research (Asia)"
    answer = "Microsoft Research Asia."
    verdict = equal("Microsoft Asia-Pacific", printed)
    return Finding(verdict, answer, {"institution": printed})


@history(
    claim="AlexNet is the winner of 2012, VGG second and GoogLeNet first in 2014, ResNet first in "
    "2015.",
    by=f"case study, {NOTES}",
    source="arXiv:1409.4842, Table 2; arXiv:1512.03385, Table 5",
    criterion="confirmed if the printed errors order the entries of these years so",
)
def winners() -> Finding:
    """The next best entry of each year."""
    rows = {
        "2012": (15.3, 26.2),
        "2014": (6.67, 7.32),
        "2014, VGG and MSRA": (7.32, 7.35),
        "2015, Table 5": (3.57, 4.82),
    }
    holds = [best < next_ for best, next_ in rows.values()]
    figures = {f"{year}: {place}": error for year, both in rows.items()
               for place, error in zip(("ours", "next"), both, strict=True)}  # fmt: skip
    answer = "As told; in 2013 ZFNet's authors did not win (study zfnet-winner)."
    return Finding(holding(holds), answer, figures, Bars(figures, "top-5 test error, %"))
