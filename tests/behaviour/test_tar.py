"""Tar files: where their files lie, and ImageNet as it is downloaded."""

import io
import tarfile

import pytest
from PIL import Image

from classicnets.data.sets import open_data
from classicnets.data.tar import entries


def lights(images) -> list[tuple[int, int]]:
    """The light of each image, by its label."""
    return sorted(zip(images.labels.tolist(), images.pixels[:, 0, 0, 0].tolist(), strict=True))


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_files_lie_where_pythons_own_reader_finds_them(tmp_path, format):
    long = "ü" * 60 if format != tarfile.USTAR_FORMAT else "u"
    with tarfile.open(tmp_path / "x.tar", "w", format=format) as tar:
        for name, content in (("a", b"1"), (f"{long}/{long}.jpg", b"2" * 513), ("c/d", b"")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        tar.add(tmp_path, "folder", recursive=False)
    with tarfile.open(tmp_path / "x.tar") as tar, (tmp_path / "x.tar").open("rb") as file:
        expected = [(m.name, m.offset_data, m.size) for m in tar if m.isreg()]
        assert [tuple(entry) for entry in entries(file)] == expected


def test_imagenet_as_downloaded_is_imagenet_unpacked(tmp_path):
    """A tar file of tar files, one of images, and the development kit."""
    import numpy as np
    from scipy.io import savemat

    root, kit = tmp_path / "in", tmp_path / "in" / "ILSVRC2012_devkit_t12" / "data"
    kit.mkdir(parents=True)
    for wnid, light in (("n01", 10), ("n02", 120)):
        (root / "train" / wnid).mkdir(parents=True)
        for k in range(52):
            Image.new("L", (9, 8), light + 2 * k).save(root / "train" / wnid / f"{wnid}_{k}.JPEG")
    (root / "val").mkdir()
    for number in (1, 2, 3):
        name = f"ILSVRC2012_val_{number:08}.JPEG"
        Image.new("L", (9, 8), 50 * number).save(root / "val" / name)
    synsets = np.array([(1, "n02"), (2, "n01")], [("ILSVRC2012_ID", "i4"), ("WNID", "O")])
    savemat(kit / "meta.mat", {"synsets": synsets})
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n2\n1\n")
    raw = tmp_path / "raw"
    raw.mkdir()
    with tarfile.open(raw / "ILSVRC2012_img_train.tar", "w") as outer:
        for folder in sorted((root / "train").iterdir()):
            with tarfile.open(tmp_path / f"{folder.name}.tar", "w") as inner:
                for path in sorted(folder.iterdir()):
                    inner.add(path, path.name)
            outer.add(tmp_path / f"{folder.name}.tar", f"{folder.name}.tar")
    with tarfile.open(raw / "ILSVRC2012_img_val.tar", "w") as tar:
        for path in sorted((root / "val").iterdir()):
            tar.add(path, path.name)
    with pytest.raises(ValueError, match="its images have no labels"):
        open_data(f"imagenet:{raw}", 8, 1)
    with tarfile.open(raw / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as tar:
        tar.add(kit.parent, kit.parent.name)
    unpacked, downloaded = (open_data(f"imagenet:{place}", 8, 1) for place in (root, raw))
    assert downloaded.counts() == unpacked.counts() == {"n01": (2, 50, 1), "n02": (2, 50, 2)}
    assert lights(downloaded.test) == lights(unpacked.test)
    assert sorted(lights(downloaded.train) + lights(downloaded.validation)) == sorted(
        lights(unpacked.train) + lights(unpacked.validation)
    )
