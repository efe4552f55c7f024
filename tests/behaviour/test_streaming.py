"""Image files and packed files give the same batches as images in memory."""

import gc
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from classicnets.api.pack import pack
from classicnets.data import listing, loader
from classicnets.data.crops import RandomCrop, RandomResizedCrop, centre_boxes
from classicnets.data.decode import read_image, read_images, read_sizes
from classicnets.data.images import ImageFiles, Images, Splits
from classicnets.data.loader import stream
from classicnets.data.packed import read_packed, write_packed
from classicnets.data.scaling import Standardise, SubtractMean, SubtractMeanImage
from classicnets.data.sets import open_data, open_test
from classicnets.data.synthetic import shapes


@pytest.fixture
def files(tmp_path) -> ImageFiles:
    """Twelve noise images of six sizes."""
    generator = torch.Generator().manual_seed(0)
    paths = []
    for k in range(12):
        height, width = 40 + 3 * (k % 6), 60 - 2 * (k % 6)
        noise = torch.randint(256, (height, width, 3), dtype=torch.uint8, generator=generator)
        paths.append(str(tmp_path / f"{k:02}.png"))
        Image.fromarray(noise.numpy()).save(paths[-1])
    sizes, reasons = read_sizes(paths)
    assert not reasons
    return ImageFiles(paths, torch.arange(12), sizes, 3)


def write_classes(root: Path, count: int = 10, size: tuple[int, int] = (40, 30)) -> Path:
    for name, light in (("a", 40), ("b", 160)):
        (root / name).mkdir(parents=True)
        for k in range(count):
            Image.new("RGB", size, (light, light + 3 * k, 9)).save(root / name / f"{k}.png")
    return root


def requests(files: ImageFiles, side: int = 24):
    generator = torch.Generator().manual_seed(5)
    for indices in torch.randperm(12, generator=generator).split(5):
        sizes = files.sizes[indices]
        yield indices, RandomResizedCrop().sample(sizes, 40, side, generator)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # two workers on one CPU
@pytest.mark.parametrize("workers", [None, 0, 1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(files, workers):
    torch.manual_seed(3)
    batches = list(stream(files, requests(files), 24, workers))
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(3))
    expected = [files.crop(*request, 24) for request in requests(files)]
    assert [len(labels) for _, labels in batches] == [5, 5, 2]
    for (x, labels), crops, (indices, _) in zip(batches, expected, requests(files), strict=True):
        assert torch.equal(x, crops)
        assert torch.equal(labels, indices)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_read_the_same_as_one_image_after_another(files, threads):
    indices, boxes = next(requests(files))
    one_by_one = [
        read_image(files.paths[i], 24, 3, box)
        for i, box in zip(indices.tolist(), boxes.tolist(), strict=True)
    ]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        crops = files.crop(indices, boxes, 24)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(crops, torch.stack(one_by_one))


def test_training_on_the_cpu_starts_no_workers_unless_asked(files):
    before = set(multiprocessing.active_children())
    for workers, started in ((None, 0), (2, 2)):
        reading = stream(files, requests(files), 24, workers)
        next(reading)
        assert len(set(multiprocessing.active_children()) - before) == started
        reading.close()


def test_crop_boxes_at_whole_pixels_of_files_are_slices_too(files):
    boxes = torch.tensor([[3.0, 5.0, 24.0, 24.0], [-4.0, 50.0, 24.0, 24.0]])
    crops = files.crop(torch.tensor([0, 7]), boxes, 24)
    for k, (i, top, left) in enumerate(((0, 3, 5), (7, -4, 50))):
        pillow = Image.open(files.paths[i]).crop((left, top, left + 24, top + 24))
        expected = torch.frombuffer(bytearray(pillow.tobytes()), dtype=torch.uint8).view(24, 24, 3)
        assert torch.equal(crops[k], expected.permute(2, 0, 1))


def test_files_and_images_in_memory_give_the_same_crops(tmp_path):
    root = write_classes(tmp_path, size=(32, 32))
    in_memory, on_disk = open_data(str(root), 32, 3), open_data(str(root), 32, 3, whole=True)
    assert isinstance(in_memory.train, Images)
    assert isinstance(on_disk.train, ImageFiles)
    assert in_memory.counts() == on_disk.counts()
    assert in_memory.digest == on_disk.digest
    order = torch.arange(len(in_memory.train))
    boxes = RandomCrop(pad=4).sample(in_memory.train.sizes, 32, 32, torch.Generator())
    assert torch.equal(in_memory.train.crop(order, boxes, 32), on_disk.train.crop(order, boxes, 32))


def test_a_jpeg_much_too_large_is_decoded_smaller_and_looks_the_same(tmp_path):
    along = torch.arange(1600) / 1600
    light = (128 + 100 * torch.sin(9 * along[:1200, None]) * torch.cos(7 * along)).to(torch.uint8)
    Image.fromarray(light.numpy()).save(tmp_path / "large.jpg", quality=95)
    Image.open(tmp_path / "large.jpg").save(tmp_path / "large.png")
    box = [100.0, 200.0, 1000.0, 1000.0]
    scaled, exact = (
        read_image(tmp_path / f"large.{kind}", 64, 1, box).int() for kind in ("jpg", "png")
    )
    assert (scaled - exact).abs().max() <= 3


def test_sizes_are_those_after_exif_rotation(tmp_path):
    image = Image.new("RGB", (30, 20))
    image.save(tmp_path / "flat.jpg")
    exif = image.getexif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise
    image.save(tmp_path / "turned.jpg", exif=exif)
    (tmp_path / "broken.jpg").write_bytes(b"not an image")
    paths = [tmp_path / f"{name}.jpg" for name in ("flat", "turned", "broken", "none")]
    sizes, reasons = read_sizes(paths)
    assert sizes[:2].tolist() == [[20, 30], [30, 20]]
    assert "broken.jpg cannot be read as an image" in reasons[2]
    assert "no such file:" in reasons[3]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_becomes_unreadable_while_it_is_streamed_is_named_in_one_sentence(
    files, workers
):
    Path(files.paths[3]).unlink()
    Path(files.paths[3]).mkdir()
    message = r"^\S*03\.png cannot be read as an image: Is a directory$"
    with pytest.raises(ValueError, match=message):
        list(stream(files, requests(files), 24, workers))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_vanishes_while_it_is_streamed_is_named_in_one_sentence(files, workers):
    Path(files.paths[3]).unlink()
    with pytest.raises(ValueError, match=r"^no such file: .*03\.png$"):
        list(stream(files, requests(files), 24, workers))


def test_a_killed_worker_is_reported(files, monkeypatch):
    def killed(self):
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")
        yield

    monkeypatch.setattr(loader.DataLoader, "__iter__", killed)
    with pytest.raises(OSError, match="was killed, perhaps for lack of memory"):
        list(stream(files, requests(files), 24, 1))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_worker_killed_during_a_training_step_is_reported_at_the_next_batch(files):
    endless = ((torch.tensor([k % 12]), torch.tensor([[0.0, 0, 24, 24]])) for k in range(500))
    streamed = stream(files, endless, 24, 2)
    next(streamed)
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, signal.SIGKILL)
    time.sleep(0.5)  # the training step
    with pytest.raises(OSError, match="was killed, perhaps for lack of memory"):
        list(streamed)


def test_images_beyond_the_memory_limit_stay_in_their_files(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "MEMORY_LIMIT", 100)
    data = open_data(str(write_classes(tmp_path)), 8, 3)
    assert isinstance(data.train, ImageFiles)
    assert data.counts() == {"a": (7, 1, 2), "b": (7, 1, 2)}
    assert isinstance(open_test(str(tmp_path), 8, 3, ("a", "b")).images, ImageFiles)


def test_the_mean_of_files_is_that_of_their_centre_crops(files):
    x = files.crop(torch.arange(12), centre_boxes(files.sizes, 256, 224), 224).double()
    assert SubtractMean().fit(files, 256, 224).shift == pytest.approx((-x.mean((0, 2, 3))).tolist())
    scale = Standardise().fit(files, 256, 224).scale
    assert scale == pytest.approx((1 / x.std((0, 2, 3), correction=0)).tolist())


def test_the_mean_image_is_that_of_the_centre_crops_pixel_by_pixel():
    data = shapes(60, side=16, channels=3)
    scaling = SubtractMeanImage().fit(data.train, 16, 12)
    crops = data.train.pixels[:, :, 2:14, 2:14]
    assert scaling.image is not None
    assert torch.allclose(scaling.image, crops.double().mean(0).float())
    assert torch.allclose(scaling(crops).mean(0), torch.zeros(3, 12, 12), atol=1e-3)
    # at another size, the mean of each channel is subtracted
    other = scaling(data.train.pixels)
    assert torch.allclose(
        other[0, 0, 0, 0], data.train.pixels[0, 0, 0, 0] - scaling.image[0].mean()
    )


# packed files


def packed(root: Path, out: Path, side: int = 24) -> Splits:
    write_packed(open_data(str(root), side, 3, whole=True), out, side)
    return open_data(str(out), 16, 3)


def test_a_packed_file_has_the_squares_classes_and_splits_of_the_folder(tmp_path):
    root = write_classes(tmp_path / "images")
    data = packed(root, tmp_path / "x.pack")
    squares = open_data(str(root), 24, 3)
    assert data.classes == ("a", "b")
    for split in ("train", "test"):
        images, expected = getattr(data, split), getattr(squares, split)
        assert torch.equal(images.pixels, expected.pixels)
        assert torch.equal(images.labels, expected.labels)
    assert data.name == str(tmp_path / "x.pack")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["x.pack"]


def half_a_jpeg(path: Path) -> Path:
    """A JPEG with an intact header and half of its data."""
    noise = torch.randint(256, (60, 60), dtype=torch.uint8, generator=torch.Generator())
    Image.fromarray(noise.numpy()).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def test_a_file_damaged_after_its_header_is_skipped_by_pack_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "CHECK_LIMIT", 23)  # too many to decode beforehand
    root = write_classes(tmp_path / "images")
    for k in range(4):
        half_a_jpeg(root / "b" / f"half{k}.jpg")
    data = open_data(str(root), 7, 3, whole=True)
    assert sum(data.sizes) == 24
    skipped = write_packed(data, tmp_path / "x.pack", 7)
    assert sorted(Path(reason.split()[0]).name for reason in skipped) == [
        f"half{k}.jpg" for k in range(4)
    ]
    data = read_packed(tmp_path / "x.pack", 3)
    assert sum(data.sizes) == 20
    for split in (data.train, data.validation, data.test):
        assert torch.equal(split.pixels[:, 0, 0, 0] > 100, split.labels == 1)


def damage(root: Path) -> list[str]:
    """Adds damaged files with intact headers to class b, and returns their names."""
    half_a_jpeg(root / "b" / "half.jpg")
    Image.fromarray(np.full((40, 30), np.nan, np.float32)).save(root / "b" / "nan.tif")
    return ["half.jpg", "nan.tif"]


def test_files_damaged_after_their_headers_are_skipped_on_disk_as_in_memory(tmp_path):
    names = damage(write_classes(tmp_path))
    in_memory, on_disk = (open_data(str(tmp_path), 8, 3, whole=whole) for whole in (False, True))
    assert [Path(reason.split()[0]).name for reason in on_disk.skipped] == names
    assert on_disk.skipped == in_memory.skipped
    assert (on_disk.sizes, on_disk.digest) == (in_memory.sizes, in_memory.digest)
    order = torch.arange(len(on_disk.train))
    list(stream(on_disk.train, [(order, centre_boxes(on_disk.train.sizes, 8, 8))], 8, 0))
    with pytest.raises(ValueError, match=r"half\.jpg cannot be read as an image: .* truncated"):
        open_data(str(tmp_path), 8, 3, whole=True, unreadable="refuse")
    with pytest.raises(ValueError, match=r"half\.jpg"):
        open_test(str(tmp_path), 8, 3, ("a", "b"), whole=True, unreadable="refuse")


def test_of_too_many_files_only_the_headers_are_read(tmp_path, monkeypatch):
    damage(write_classes(tmp_path))
    monkeypatch.setattr(listing, "CHECK_LIMIT", 21)
    assert sum(open_data(str(tmp_path), 8, 3, whole=True).sizes) == 22
    monkeypatch.setattr(listing, "CHECK_LIMIT", 22)
    assert sum(open_data(str(tmp_path), 8, 3, whole=True).sizes) == 20


@pytest.mark.parametrize("progressive", [False, True])
def test_decoding_a_jpeg_at_an_eighth_finds_every_truncation(tmp_path, progressive):
    noise = torch.randint(256, (50, 70, 3), dtype=torch.uint8, generator=torch.Generator())
    Image.fromarray(noise.numpy()).save(tmp_path / "x.jpg", progressive=progressive)
    content = (tmp_path / "x.jpg").read_bytes()
    for length in (*range(700, len(content), 97), *range(len(content) - 3, len(content))):
        (tmp_path / "x.jpg").write_bytes(content[:length])
        _, full = read_images([tmp_path / "x.jpg"], 50, 3)
        _, reduced = read_sizes([tmp_path / "x.jpg"], 3)
        assert reduced == full != {}
    (tmp_path / "x.jpg").write_bytes(content)
    assert read_sizes([tmp_path / "x.jpg"], 3)[1] == {}


def test_a_file_damaged_after_its_header_is_named_when_it_is_streamed(tmp_path):
    path = half_a_jpeg(tmp_path / "half.jpg")
    sizes, reasons = read_sizes([path])
    assert reasons == {}
    files = ImageFiles([str(path)], torch.tensor([0]), sizes, 1)
    with pytest.raises(ValueError, match=r"half.jpg cannot be read as an image: .* truncated"):
        list(stream(files, [(torch.tensor([0]), centre_boxes(sizes, 32, 32))], 32, 0))


def test_a_packed_file_beyond_the_memory_limit_is_memory_mapped(tmp_path, monkeypatch):
    root = write_classes(tmp_path / "images")
    monkeypatch.setattr("classicnets.data.packed.MEMORY_LIMIT", 100)
    data = packed(root, tmp_path / "x.pack")
    assert data.train.memory_mapped
    assert data.train.to(torch.device("meta")).pixels.device.type == "cpu"
    crop = data.train.crop(torch.tensor([0]), centre_boxes(data.train.sizes[:1], 24, 24), 24)
    assert torch.equal(crop, data.train.pixels[:1])


def test_a_memory_mapped_file_is_streamed_in_order(tmp_path, monkeypatch):
    root = write_classes(tmp_path / "images", count=40)
    monkeypatch.setattr("classicnets.data.packed.MEMORY_LIMIT", 100)
    train = packed(root, tmp_path / "x.pack").train
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    boxes = RandomCrop().sample(train.sizes[order], 24, 20, torch.Generator())
    requests = list(zip(order.split(5), boxes.split(5), strict=True))
    streamed = list(stream(train, iter(requests), 20))
    assert len(streamed) == 12
    for (x, labels), request in zip(streamed, requests, strict=True):
        assert torch.equal(x, train.crop(*request, 20))
        assert torch.equal(labels, train.labels[request[0]])


def test_workers_end_when_the_stream_is_dropped(files):
    before = set(multiprocessing.active_children())
    for _ in stream(files, requests(files), 24, 1):
        break
    gc.collect()
    assert set(multiprocessing.active_children()) == before


def test_a_packed_file_is_not_overwritten_and_no_partial_file_is_left(tmp_path, monkeypatch):
    root = write_classes(tmp_path / "images")
    data = open_data(str(root), 8, 3, whole=True)
    write_packed(data, tmp_path / "x.pack", 8)
    before = (tmp_path / "x.pack").read_bytes()
    with pytest.raises(ValueError, match="already exists; choose another"):
        write_packed(data, tmp_path / "x.pack", 8)
    assert (tmp_path / "x.pack").read_bytes() == before

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_packed(data, tmp_path / "y.pack", 8, stop)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["x.pack"]


def test_a_damaged_packed_file_and_other_channels_are_refused(tmp_path):
    root = write_classes(tmp_path / "images")
    packed(root, tmp_path / "x.pack")
    with pytest.raises(ValueError, match="images of 3 channels, but the network needs 1; pack"):
        open_data(str(tmp_path / "x.pack"), 24, 1)
    content = (tmp_path / "x.pack").read_bytes()
    for name, damaged in (("cut", content[:-5]), ("other", b"another file"), ("empty", b"")):
        (tmp_path / f"{name}.pack").write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{name}.pack is not a packed data set"):
            open_data(str(tmp_path / f"{name}.pack"), 24, 3)


def test_pack_reports_progress_and_skipped_files(tmp_path):
    root = write_classes(tmp_path / "images")
    (root / "a" / "0.png").write_bytes(b"not an image")
    half_a_jpeg(root / "b" / "half.jpg")
    progress = []
    packed = pack(str(root), tmp_path / "x.pack", 24, 3, lambda *done: progress.append(done))
    assert (packed.images, packed.classes, len(packed.skipped)) == (19, 2, 2)
    assert packed.bytes == (tmp_path / "x.pack").stat().st_size
    assert progress[-1] == (19, 19)
    assert sum(open_data(str(tmp_path / "x.pack"), 24, 3).sizes) == 19


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("x.bin", {}, r"must end with \.pack"),
        ("none/x.pack", {}, "no such folder"),
        ("x.pack", {"side": 0}, "side=0"),
        ("x.pack", {"channels": 4}, "channels=4"),
    ],
)
def test_illegal_arguments_of_pack_are_refused_before_reading(tmp_path, out, options, message):
    with pytest.raises(ValueError, match=message):
        pack("digits", tmp_path / out, **options)
    assert list(tmp_path.iterdir()) == []
