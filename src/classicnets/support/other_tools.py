"""What timm, torchvision's references, fastai and Ultralytics call our options and arguments."""

from collections.abc import Mapping

SCHEDULE = "--set 'lr=OneCycle(0.01)'"
# Ours -> theirs. {} is the value; words in capitals are arguments of a verb. Of several lines that
# hold a word the first that the verb has is the answer.
OURS = {
    "NETWORK": "--model --arch --net --model-name --architecture --backbone -a -m",
    "PATTERN": "--model --arch --name --filter -m",
    "RUN": "--model --weights --checkpoint --ckpt --run --load -m -w",
    "IMAGE": "--source --image --images --img --input -i",
    "--data {}": "--data-path --data-dir --dataset --datadir --data-root --root --train-dir -d "
    "--source",
    "--epochs {}": "--epoch --num-epochs --max-epochs --n-epochs --num-train-epochs -e",
    "--per-class {}": "--csv --class-report",
    "--lr {}": "--learning-rate --lr0 --base-lr --blr --lr-max --max-lr",
    "--batch-size {}": "--bs --bsz --batchsize --train-batch-size",
    "--img-size {}": "--imgsz --image-size --imsize --size --crop-size --train-crop-size --crop "
    "--input-size --side --resolution",
    "--input {}": "--img-size --imgsz --image-size --imsize --size --crop-size --resolution "
    "--input-size --shape",
    "--patience {}": "--early-stopping --early-stop --stop-epoch",
    "--weight-decay {}": "--wd --decay",
    "--set optimizer.momentum={}": "--momentum --mom",
    "--set optimizer.betas={}": "--betas --opt-betas",
    "--set optimizer.eps={}": "--eps --opt-eps",
    "--set optimizer.nesterov=True": "--nesterov",
    "--set loss.smoothing={}": "--label-smoothing --smoothing",
    SCHEDULE: "--sched --scheduler --lr-scheduler --cos-lr --warmup-epochs "
    "--lr-warmup-epochs --lr-step-size --lr-gamma --min-lr",
    "--set 'average=Ema(0.99)'": "--ema --model-ema",
    "--set steps={}": "--steps --max-steps --max-iter --iterations --iters",
    "--set loss={}": "--loss --criterion",
    "--set init={}": "--init",
    "--set protocol={}": "--protocol",
    "--optimizer {}": "--opt --optim",
    "--augment {}": "--aug --augmentation --augmentations",
    "--augment none": "--no-aug --no-augment --no-augmentation",
    "--augment flip": "--hflip --fliplr",
    "--recipe {}": "--config --cfg -c",
    "--seed {}": "--random-seed --random-state --manual-seed -s",
    "--workers {}": "--num-workers --nworkers --nw --n-workers --num-threads --threads -j",
    "--precision bf16": "--amp --fp16 --bf16 --half --mixed-precision --use-amp",
    "--layout channels_last": "--channels-last",
    "--compile": "--torchcompile --torch-compile",
    "--device {}": "--accelerator",
    "--device cuda:{}": "--gpu --gpu-id --gpu-ids",
    "--device cuda": "--cuda --use-cuda",
    "--device cpu": "--cpu --no-cuda --no-gpu --no-accel",
    "--out {}": "--output-dir --output --outdir --save-dir --save-path --output-path --run-dir "
    "--log-dir --logdir --project -o",
    "--png {}": "--out --output --plot --save -o",
    "--name {}": "--experiment --exp --exp-name --run-name",
    "--exist-ok": "--overwrite --force",
    "--resume {}": "--resume-from --resume-path --resume-from-checkpoint --checkpoint --ckpt "
    "--load --continue --start-from -r",
    "--weights {}": "--pretrained-weights --initial-checkpoint",
    "--track tensorboard": "--tensorboard --tb",
    "--track wandb": "--wandb --log-wandb --use-wandb",
    "--protocol ten-crop": "--tta --ten-crop",
    "--top {}": "--topk --top-k -k",
}


def by_word(table: Mapping[str, str]) -> dict[str, list[str]]:
    """Their word -> ours, from ours -> their words."""
    words: dict[str, list[str]] = {}
    for ours, theirs in table.items():
        for word in theirs.split():
            words.setdefault(word, []).append(ours)
    return words


THEIRS = by_word(OURS)
