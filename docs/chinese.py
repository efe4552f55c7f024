"""The Chinese of what docs/generate.py writes into README.zh-CN.md and the pages of docs/zh."""

import json
import re
from collections.abc import Mapping

# what the papers say, and what a move looks for: a cell of docs/moves.md each
SENTENCES: Mapping[str, str] = {
    "With ReLU in place of tanh a network learns several times faster.": (
        "用 ReLU 代替 tanh，网络的学习速度快几倍。"
    ),
    "a squash that does not feed prototypes": "输出不送入 prototypes 的 squash",
    "Pools of 3x3 at stride 2 give a lower error than those of 2x2, and overfit a little less.": (
        "3x3、步长 2 的池化比 2x2 的错误率低，过拟合也略轻。"
    ),
    "a 2x2 pool at stride 2": "步长 2 的 2x2 池化",
    "Dropout in the hidden fully connected layers keeps them from overfitting.": (
        "在隐藏的全连接层使用 dropout，可防止它们过拟合。"
    ),
    "a fully connected layer before the last one without dropout": (
        "最后一层之前、没有 dropout 的全连接层"
    ),
    "A first layer of 7x7 at half the stride keeps what 11x11 at stride 4 loses; the second "
    "convolution takes over the stride.": (
        "第一层用 7x7、步长减半，能保住 11x11、步长 4 丢掉的信息；减下来的步长由第二个卷积承担。"
    ),
    "a first convolution of more than 7x7 at an even stride, and a second one at stride 1": (
        "大于 7x7、步长为偶数的第一个卷积，且第二个卷积步长为 1"
    ),
    "More maps in the middle, 512, 1024, 512 for 384, 384, 256, lower the error.": (
        "中间几层用更多特征图，以 512、1024、512 代替 384、384、256，可降低错误率。"
    ),
    "just three convolutions of 3x3 one after another, not the first ones": (
        "恰好三个相连的 3x3 卷积，且不是最前面的"
    ),
    "Two layers of 3x3 read as many pixels as one of 5x5, with fewer weights and one more "
    "non-linearity.": "两层 3x3 读到的像素与一层 5x5 相同，权重更少，还多一次非线性。",
    "a convolution of 5x5": "5x5 卷积",
    "Three layers of 3x3 read as many pixels as one of 7x7, with fewer weights and two more "
    "non-linearities.": "三层 3x3 读到的像素与一层 7x7 相同，权重更少，还多两次非线性。",
    "a convolution of 7x7": "7x7 卷积",
    "A 1x1 convolution of as many maps adds a non-linearity and leaves the receptive field.": (
        "特征图数不变的 1x1 卷积多加一次非线性，感受野不变。"
    ),
    "a convolution of at least 3x3 before a pool, not the first one": (
        "池化之前、至少 3x3 的卷积，且不是第一个"
    ),
    "Global average pooling before the first fully connected layer, as in Network in Network, "
    "takes most of its weights and does not raise the error.": (
        "像 Network in Network 那样，在第一个全连接层之前做全局平均池化，"
        "省去它的大部分权重，错误率并不升高。"
    ),
    "a fully connected layer that reads maps of more than one pixel": (
        "读入的特征图不止一个像素的全连接层"
    ),
    "Windows of several sizes side by side, with 1x1 reductions, find patterns of several scales "
    "for less arithmetic.": "几种尺寸的窗口并列，并用 1x1 降维，以更少的运算找出多种尺度的模式。",
    "a convolution of 3x3 or 5x5 at stride 1 that keeps the size, of at least 16 maps, not the "
    "first one": "步长 1、尺寸不变、至少 16 个特征图的 3x3 或 5x5 卷积，且不是第一个",
    "A 1x1 convolution to half of the maps before a large window saves arithmetic.": (
        "在大窗口之前用 1x1 卷积把特征图减半，可节省运算。"
    ),
    "a convolution of at least 3x3 without groups that reads at least 8 maps, not one behind a 1x1 "
    "convolution": "不分组、至少 3x3、读入至少 8 个特征图的卷积，且前面不是 1x1 卷积",
    "A second classifier in the middle, in training only, strengthens the gradient of the lower "
    "layers.": "在网络中部加第二个分类器，只在训练时使用，可增强低层的梯度。",
    "a pool or block of the network with maps of at least 5x5, and no auxiliary head": (
        "特征图至少 5x5 的池化或块，且网络没有辅助分类器"
    ),
    "Batch normalisation after each convolution, in place of response normalisation or none, keeps "
    "the signal of deep networks alive.": (
        "每个卷积之后做批归一化（代替响应归一化，或原本没有归一化），使深层网络的信号不致消失。"
    ),
    "a convolution without batch norm": "没有批归一化的卷积",
    "A shortcut around two layers lets them learn a residual; it costs no parameters.": (
        "跨过两层的快捷连接让这两层学习残差，不增加参数。"
    ),
    "two convolutions that end with a ReLU and keep the shape or add maps, not the first ones": (
        "以 ReLU 结尾、形状不变或特征图增多的两个卷积，且不是最前面的"
    ),
    "A shortcut around three layers lets them learn a residual; it costs no parameters.": (
        "跨过三层的快捷连接让这三层学习残差，不增加参数。"
    ),
    "three convolutions that end with a ReLU and keep the shape or add maps, not the first ones": (
        "以 ReLU 结尾、形状不变或特征图增多的三个卷积，且不是最前面的"
    ),
    "Where the number of maps grows, a 1x1 projection is a little better than zero maps.": (
        "特征图变多处，1x1 投影比补零略好。"
    ),
    "a residual block whose shortcut adds zero maps": "快捷连接补零的残差块",
    "Where the number of maps grows, zero maps cost no parameters and nearly reach the error of a "
    "projection.": "特征图变多处，补零不增加参数，错误率也与投影相近。",
    "a residual block whose shortcut is a 1x1 projection to more maps": (
        "快捷连接为 1x1 投影、特征图增多的残差块"
    ),
    "1x1, 3x3, 1x1 with a quarter of the maps in between makes a block of three layers cheaper "
    "than one of two.": ("1x1、3x3、1x1，中间的特征图为四分之一，使三层的块比两层的块开销更小。"),
    "a residual block of two 3x3 convolutions": "由两个 3x3 卷积组成的残差块",
    "A convolution at stride 2 halves height and width by itself, without a pool.": (
        "步长 2 的卷积自己就把高和宽减半，不需要池化。"
    ),
    "a pool or subsampling right after a convolution at stride 1": (
        "紧跟在步长 1 的卷积之后的池化或下采样"
    ),
    "Local averaging makes the maps smaller and the output less sensitive to shifts: the older "
    "way, as a control.": "局部平均使特征图变小，输出对平移不那么敏感：旧做法，作为对照。",
    "a max pool or subsampling": "最大池化或下采样",
    "2x2 sums, times a weight, plus a bias, squashed: the older way, as a control.": (
        "2x2 求和，乘以权重、加上偏置，再经过压缩函数：旧做法，作为对照。"
    ),
    "a 2x2 pool at stride 2 without padding": "步长 2、无填充的 2x2 池化",
    "The scaled tanh as non-linearity: the older way, as a control.": (
        "以缩放的 tanh 作为非线性：旧做法，作为对照。"
    ),
    "a ReLU that is a line of its own, not the one of a residual block": (
        "独占一行的 ReLU，残差块自带的不算"
    ),
    "A weight decay of 0.0005 lowers the training error as well.": (
        "0.0005 的权重衰减连训练错误率也能降低。"
    ),
    "an optimizer with another weight decay": "权重衰减不同的优化器",
    "The learning rate is 0.01, and divided by 10 whenever the validation error stalls.": (
        "学习率为 0.01，验证错误率每次停滞时除以 10。"
    ),
    "another schedule": "别的学习率调度",
    "Noise along the principal components of the colours lowers the error by more than 1 %.": (
        "沿颜色主成分加噪声，使错误率降低 1 % 以上。"
    ),
    "images of three channels without it": "没有使用它的三通道图像",
    "Crops from images of random scale, 256 to 512 pixels for crops of 224, lower the error.": (
        "从随机尺度的图像上裁剪（256 至 512 像素，裁剪 224），可降低错误率。"
    ),
    "another way to crop": "别的裁剪方式",
    "The loss of each auxiliary head counts 0.3 times.": "每个辅助分类器的损失乘以 0.3 计入。",
    "an auxiliary head whose loss does not count": "损失未计入的辅助分类器",
    "Initial weights of variance 2 / fan-in keep the signal of deep networks with ReLU.": (
        "初始权重的方差取 2 / fan-in，可保住使用 ReLU 的深层网络的信号。"
    ),
    "other initial values": "别的初始值",
    "With batch normalisation a weight decay of 0.0001, and no dropout.": (
        "使用批归一化时，权重衰减取 0.0001，不用 dropout。"
    ),
    "The learning rate is 0.1, and divided by 10 at a half and at three quarters.": (
        "学习率为 0.1，在训练的一半和四分之三处各除以 10。"
    ),
}
# what else stands in cells, as regular expressions, the longer ones first
PHRASES: Mapping[str, str] = {
    r"60 million parameters": "6000 万个参数",
    r" parameters, 1\.5 G \(sums of Table 1\)": " 个参数，1.5 G（表 1 各行之和）",
    r" parameters": " 个参数",
    r", section ([\w.-]+)": r"，第 \1 节",
    r", Table (\w+)": r"，表 \1",
    r", Figure (\w+)": r"，图 \1",
    r", configuration (\w+)": r"，配置 \1",
    r", option (\w+)": r"，选项 \1",
    r" \(option (\w+)\)": r"（选项 \1）",
    r"\bthe network itself\b": "网络本身",
    r"\berror (?=\d)": "错误率 ",
    r" \(smallest\)": "（最小）",
    r" \(largest\)": "（最大）",
    r"\bcannot tell \(about ([\d,]+) pairs would\)": r"无法判断（约需 \1 对）",
    r"\bcannot tell \(more than ([\d,]+) pairs would\)": r"无法判断（需 \1 对以上）",
    r"\bbetter\b": "更好",
    r"\bworse\b": "更差",
    r"\bsame\b": "相同",
    r"(?<=\d) to (?=[+-]?\d)": " 至 ",
}
# the verdicts and answers of studies in docs/zh/claims.md
FINDINGS: Mapping[str, str] = {
    "not distinguishable at this scale": "此规模下无法区分",
    "not distinguishable": "无法区分",
    "not yet run": "尚未运行",
    "lower, ": "更低：",
    "higher, ": "更高：",
    "learning rate at the edge of those tried": "所选学习率在所试范围的边缘",
    "at least a tenth with it": "有归一化时至少为十分之一",
    ": learnt nothing, at least half of the runs guess": "：什么也没学到，至少一半的运行只是在猜",
    ", at most ": "，不超过 ",
    "confirmed": "证实",
    "corrected": "更正",
    "partly": "部分成立",
    "for a GPU: ": "需要 GPU：",
    "about ": "约 ",
    " minutes": " 分钟",
    " minute": " 分钟",
}


def rows_in_chinese(rows: str) -> str:
    """The rows of a table, cell by cell. What stands in backticks stays."""
    return "\n".join("|".join(map(_cell, row.split("|"))) for row in rows.splitlines())


def _cell(cell: str) -> str:
    text = cell.strip()
    if text in SENTENCES:
        return f" {SENTENCES[text]} "
    for words, chinese in PHRASES.items():
        cell = re.sub(words, chinese, cell)
    english = re.search(r"[a-z]{3,} [a-z]{2,}", re.sub(r"`.*?`", "", cell))
    assert not english, f"docs/chinese.py has no Chinese for: {text}"
    return cell


def finding_in_chinese(words: str) -> str:
    """A verdict or an answer of a study."""
    for english, chinese in FINDINGS.items():
        words = words.replace(english, chinese)
    return words


def studies_in_chinese(page: str) -> str:
    """JSON: study -> what docs/zh/claims.md has of it: the claim, who makes it, what is right, the
    criterion, and what was shrunk. A claim that names nobody at its end is of the case study.
    """
    rows = re.findall(r"^\| (.*?) \|.*?\| *(.*?) *\| `([a-z0-9-]+)` \|$", page, flags=re.MULTILINE)
    said = {name: (claim, right) for claim, right, name in rows}
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.*?) \| *(.*?) *\|$", page, flags=re.MULTILINE)
    found = {}
    for name, criterion, shrunk in rows:
        claim, answer = said[name]
        by = "案例讲义"
        if claim.endswith("）"):
            claim, _, by = claim.removesuffix("）").rpartition("（")
        found[name] = {"claim": claim, "by": by, "answer": answer}
        found[name] |= {"criterion": criterion, "shrunk": shrunk}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
