"""What the pages say, in English and Chinese: one table, English -> Chinese.

Names of networks, layers, fields and figures are the papers' in both.
"""

from collections.abc import Mapping

CHINESE: Mapping[str, str] = {
    # navigation
    "Networks": "网络",
    "Train": "训练",
    "Runs": "训练记录",
    "Look inside": "查看内部",
    "Design": "设计",
    "Data": "数据",
    "Studies": "研究",
    "中文": "English",
    "the other language": "切换语言",
    "dark or light": "深色或浅色",
    "There is no page at this address.": "这个地址没有页面。",
    "Something failed here: {}": "出错了：{}",
    # networks
    "Six papers, exactly as published": "六篇论文，与发表时完全一致",
    "parameters": "参数量",
    "multiply-adds": "乘加次数",
    "published error, %": "论文报告的错误率，%",
    "year": "年份",
    "Shared weights and trainable subsampling recognise digits.": (
        "用共享权重与可训练的下采样识别手写数字。"
    ),
    "The same idea a thousand times larger, on two GPUs.": "同样的想法，大一千倍，用两块 GPU。",
    "AlexNet visualised, and its first layers made finer.": "把 AlexNet 可视化，并使前几层更细。",
    "Only 3x3 convolutions; depth is the one variable.": "只用 3x3 卷积，唯一的变量是深度。",
    "Parallel convolutions of several sizes, made cheap by 1x1 convolutions.": (
        "多种尺寸的卷积并列，再用 1x1 卷积降低开销。"
    ),
    "The output of each block is added to its input, so that very deep networks can be trained.": (
        "每个块的输出与输入相加，使很深的网络也能训练。"
    ),
    "Your designs": "你的设计",
    "One image of {}": "输入一张 {} 的图像",
    "memory of a training step": "一步训练所需内存",
    "receptive field": "感受野",
    "Stages": "各阶段",
    "Choose a stage to see its layers; below is what one value under the pointer sees.": (
        "点击一个阶段，查看它的各层；指针所在处的一个值能看到的区域画在下面。"
    ),
    "What is said of these networks": "关于这些网络的说法",
    "Along depth": "沿深度的变化",
    "Layers": "各层",
    "What one value of this layer sees": "这一层的一个值能看到的区域",
    "layer": "层",
    "share of the network": "占整个网络的比例",
    "type": "类型",
    "output": "输出",
    "stride": "步长",
    "For one image: the weights, their gradients, the optimizer's values, and what the "
    "backward pass needs.": "一张图像所需：权重、梯度、优化器的值，以及反向传播要用的值。",
    "The pixels that one value of the last maps sees, along a side.": (
        "最后一层特征图的一个值沿一边能看到多少像素。"
    ),
    "memory": "内存",
    "saved for backward": "为反向传播保存",
    "new bytes for the output": "输出所需的新字节",
    "bytes that autograd keeps for the backward pass": "自动求导为反向传播保留的字节",
    "learnable values": "可学习的值",
    "one multiplication and one addition each": "一次乘法加一次加法",
    "pixels from one receptive field to the next": "相邻感受野之间的像素距离",
    "shape for one image, maps first": "一张图像的形状，特征图数在前",
    "Where the paper leaves a choice": "论文没有写明之处",
    "Not in the paper": "论文中没有",
    "Source code": "源代码",
    "Beside another network": "与另一网络比较",
    "The lines that differ, and what each costs": "不同的行，以及各自的开销",
    "unknown": "未知",
    "rows per page": "每页行数",
    "Edit as a design": "作为设计来编辑",
    "Train it": "训练它",
    # looking inside
    "Drop an image, or choose one": "拖入一张图像，或选择一张",
    "There is no run yet; train a network first.": "还没有训练记录，请先训练一个网络。",
    "run": "训练记录",
    "Likeliest classes": "最可能的类别",
    "Choose a class to see the evidence for it.": "点击一个类别，查看支持它的依据。",
    "Evidence for {}": "支持 {} 的依据",
    "no evidence": "无依据",
    "most evidence": "依据最强",
    "opacity": "不透明度",
    "occlusion": "遮挡",
    "gradients": "梯度",
    "method": "方法",
    "Feature maps": "特征图",
    "Deconvnet": "反卷积网络",
    "Strongest patches": "最强响应的图块",
    "Nearest training images": "最相近的训练图像",
    "the strongest maps projected back to the pixels": "把最强的特征图投影回像素",
    "the test images' parts that activate maps {} most, a row for each": (
        "测试图像中最能激活特征图 {} 的部分，每张图一行"
    ),
    "By the distance of what the last layer reads; the class and the distance.": (
        "按最后一层输入的距离；标出类别与距离。"
    ),
    "An image may have at most {} bytes.": "一张图像至多 {} 字节。",
    "One of the test images": "取一张测试图像",
    "Camera": "摄像头",
    "Take a photo": "拍照",
    "the browser gives no camera: {}": "浏览器没有提供摄像头：{}",
    "is {}": "实为 {}",
    "{} of {} maps, the strongest first; zero is middle grey": (
        "{} / {} 张特征图，从最强开始；零为中灰"
    ),
    "Draw a digit": "画一个数字",
    "Draw with the mouse or a finger; the answer changes as you draw.": (
        "用鼠标或手指画，结果随之变化。"
    ),
    "clear": "清除",
    # designing
    "Begin with": "从此开始",
    "Beside each line: the shape it gives, its parameters and multiply-adds.": (
        "每行右侧：该行输出的形状、参数与乘加次数。"
    ),
    "file": "文件",
    "Save": "保存",
    "Save and train": "保存并训练",
    "Undo the move": "撤销改动",
    "The papers' moves": "论文中的改动",
    "What each would change here; nothing changes before it is applied.": (
        "每项改动在这里会改变什么；点击应用之前什么也不变。"
    ),
    "Plan a training": "规划训练",
    "the design": "这个设计",
    "{} images of {}": "{} 张图像，来自 {}",
    "batches of {}": "每批 {} 张",
    "It fits.": "放得下。",
    "It may fit: the prediction is as uncertain as the memory is short.": (
        "也许放得下：余量小于预测的误差。"
    ),
    "It does not fit.": "放不下。",
    "peak memory": "内存峰值",
    "free memory": "可用内存",
    "largest batch that fits": "放得下的最大批量",
    "a step": "一步",
    "an epoch": "一个 epoch",
    "all epochs": "全部 epoch",
    "{} epochs": "{} 个 epoch",
    "{} ({} to {})": "{}（{} 至 {}）",
    "Memory, part by part": "内存的各个部分",
    "training step": "一步训练",
    "evaluation": "评估",
    "checkpoint": "写检查点",
    "weights": "权重",
    "optimizer": "优化器",
    "activations": "激活值",
    "transients": "临时值",
    "workspaces": "工作区",
    "allocator": "分配器保留",
    "runtime": "运行环境",
    "total": "合计",
    "What needs less": "更省内存的做法",
    "change": "改动",
    "same": "不变",
    "yes": "是",
    "no": "否",
    "Look for moves": "寻找改动",
    "Apply": "应用",
    "{} is applied": "已应用 {}",
    "What was written here before and not saved.": "这是之前写下、还没有保存的内容。",
    "Begin anew": "重新开始",
    "Not saved: {}": "没有保存：{}",
    "{} is saved": "{} 已保存",
    # training
    "network": "网络",
    "data": "数据",
    "recipe": "训练方案",
    "epochs": "epoch 数",
    "learning rate": "学习率",
    "batch size": "batch 大小",
    "seed": "随机种子",
    "adapted": "已调整",
    "{} steps will hardly train a network, which takes a few hundred; {} epochs would do.": (
        "{} 步几乎训练不出什么网络，一般要几百步；{} 个 epoch 就够。"
    ),
    "the recipe's own": "按训练方案",
    "none": "无",
    "the paper's": "论文的",
    "fast (modern)": "fast（现代）",
    "fine-tune": "微调",
    "weights to start from": "起始权重",
    "in the cache": "已在缓存中",
    "to be downloaded": "需要下载",
    "Every value of the recipe, with its source": "训练方案的每个值及其出处",
    "Change a value as the list writes it; what is emptied is the recipe's own.": (
        "按列表的写法修改；清空则恢复训练方案的值。"
    ),
    "Changed in the list: {}": "在列表中改动：{}",
    "Adapted to these images, as the list says: {}": "已按这些图像调整（理由见列表）：{}",
    "not set": "未设定",
    "Estimate": "估计",
    "Start": "开始",
    "Waiting": "等待中",
    "Waiting for {} before it": "等待中，前面还有 {} 个",
    "withdraw": "撤回",
    # runs
    "Compare": "比较",
    "top-1 error on validation, %": "验证集 top-1 错误率，%",
    "error, %": "错误率，%",
    "Confusion matrices": "混淆矩阵",
    "Rows are true classes, columns predicted ones; a colour is a share of its row.": (
        "行是真实类别，列是预测类别；颜色表示在该行中所占的比例。"
    ),
    "The number in a cell counts images.": "格中的数字是图像数。",
    "Confused most: true class, predicted class, images": "最常混淆：真实类别、预测类别、图像数",
    "true class": "真实类别",
    "predicted": "预测类别",
    "It has not been tested yet.": "尚未测试。",
    "at the end of training": "训练结束时",
    "state": "状态",
    "epoch": "epoch 序号",
    "best validation error, %": "最佳验证错误率，%",
    "test error, %": "测试错误率，%",
    "training": "训练中",
    "stopped": "已停止",
    "ended": "已结束",
    "diverged": "已发散",
    "damaged": "已损坏",
    "loss": "损失",
    "top-1 error, %": "top-1 错误率，%",
    "training images": "训练图像",
    "validation images": "验证图像",
    "images per second": "每秒图像数",
    "time left": "剩余时间",
    "Stop": "停止",
    "Resume": "续训",
    "Log": "日志",
    "Sample predictions": "预测示例",
    "Evaluate": "评估",
    "protocol": "测试方式",
    "the run's own test images": "该训练自己的测试图像",
    "protocol: top-1 error / top-5 error · images": "测试方式：top-1 错误率 / top-5 错误率 · 图像",
    "the test part of {}: {}": "{} 的测试部分：{}",
    "all images of {}: {}": "{} 的全部图像：{}",
    "{} images": "{} 张图像",
    "{} of {} images": "{} / {} 张图像",
    "Export": "导出",
    "format": "格式",
    "precision": "精度",
    "takes bytes, and resizes, crops and scales them itself": (
        "输入原始字节，自行缩放、裁剪与归一化"
    ),
    "Training begins.": "训练即将开始。",
    "It ended before its training began, or its folder was removed.": (
        "训练开始之前已结束，或者它的文件夹已被移走。"
    ),
    "About to save and end.": "即将保存并结束。",
    "Delete": "删除",
    "Move {} to the folder trash?": "把 {} 移到 trash 文件夹？",
    "cancel": "取消",
    # data
    "Drop a folder or a zip file of images here: a folder for each class": (
        "把装有图像的文件夹或 zip 文件拖到这里：每个类别一个文件夹"
    ),
    "Choose a folder": "选择文件夹",
    "Choose a zip file": "选择 zip 文件",
    "classes": "类别",
    "images": "图像",
    "test images": "测试图像",
    "median height and width": "高与宽的中位数",
    "mean of the channels": "各通道的均值",
    "standard deviation of the channels": "各通道的标准差",
    "Train on it": "用它训练",
    "Too few images for each of training, validation and test: {}": (
        "图像太少，不够分给训练、验证和测试：{}"
    ),
    "Unreadable files": "无法读取的文件",
    "Duplicates": "重复的文件",
    "Left out": "未采用的文件",
    "Samples of each class": "各类别的样本",
    "Augmentation": "数据增强",
    "Five images as they are, and as the network sees them in four epochs.": (
        "五张图像的原样，以及网络在四个 epoch 中看到的样子。"
    ),
    "The weights are learnt from these.": "权重从这些图像学得。",
    "They choose the best epoch and lower the learning rate, and nothing is learnt from them.": (
        "用来选出最佳的 epoch 并降低学习率，不参与学习。"
    ),
    "They are looked at once, at the end.": "只在最后看一次。",
    "Pixels from 0 to 255. The mean over the training set is subtracted from each pixel "
    "(AlexNet, section 2; VGG, section 2.1).": (
        "像素取值 0 到 255。每个像素减去训练集的均值（AlexNet 第 2 节，VGG 第 2.1 节）。"
    ),
    "Pixels from 0 to 255. LeNet-5 scales its inputs to a mean of about 0 and a variance of "
    "about 1 (section II-B).": (
        "像素取值 0 到 255。LeNet-5 把输入缩放到均值约为 0、方差约为 1（第 II-B 节）。"
    ),
    "The data set is enlarged by transformations that preserve the label, against overfitting "
    "(AlexNet, section 4.1).": "用不改变标签的变换扩大数据集，以减轻过拟合（AlexNet 第 4.1 节）。",
    "Files with the same bytes in two splits, so that the test would be on images seen in "
    "training, or under two labels, of which one is wrong.": (
        "内容相同的文件：若在两个划分中，测试就会用到训练见过的图像；若有两个标签，其中一个是错的。"
    ),
    # studies
    "What is said of these networks, each with a criterion stated before its result.": (
        "关于这些网络的种种说法，每条的判定标准都先于结果写明。"
    ),
    "Experiments": "实验",
    "There is none in this folder; classicnets experiment makes them.": (
        "此文件夹中还没有实验；用 classicnets experiment 创建。"
    ),
    "all": "全部",
    "family": "系列",
    "kind": "种类",
    "{} studies": "{} 项研究",
    "structure": "结构",
    "history": "历史",
    "paired runs": "成对训练",
    "The network as built, or arithmetic, decides it, in seconds.": (
        "由网络本身或算术判定，几秒即可。"
    ),
    "What the papers print decides it.": "由论文所印内容判定。",
    "Pairs of runs with the same seeds decide it, by an interval and an exact test.": (
        "由随机种子相同的成对训练判定，依据置信区间与精确检验。"
    ),
    "confirmed": "证实",
    "corrected": "更正",
    "partly": "部分成立",
    "not distinguishable at this scale": "此规模下无法区分",
    "not yet run": "尚未运行",
    "begun": "已开始",
    "Run": "运行",
    "a quarter of the epochs": "四分之一的 epoch",
    "run in this folder": "在此文件夹中运行",
    "as the package has it": "软件包自带的结果",
    "time on two cores": "双核所需时间",
    "Two CPU cores would take days.": "双核 CPU 需要数天。",
    "Criterion, stated before the result": "判定标准，先于结果写明",
    "Source": "出处",
    "What was shrunk, and is therefore not shown": "缩小了什么，因而没有说明什么",
    "runs that have ended": "已结束的训练",
    "{} trials have ended": "{} 次试验已结束",
    "A report needs two pairs of runs that have ended.": "报告至少需要两对已结束的训练。",
}
LANGUAGES = ("en", "zh")


class Text:
    """Says a text in one language: `t("Networks")`, `t("Evidence for {}", name)`."""

    def __init__(self, language: str):
        self.language = language if language in LANGUAGES else "en"

    def __call__(self, text: str, *values: object) -> str:
        said = CHINESE[text] if self.language == "zh" else text
        return said.format(*values) if values else said

    def of(self, heading: str, value: str) -> str:
        """A heading and what stands after its colon: `Source code: my.net`."""
        return f"{self(heading)}{'：' if self.language == 'zh' else ': '}{value}"
