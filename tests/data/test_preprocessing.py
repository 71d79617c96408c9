"""One way from an image file to network input."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pellucid import preprocessing
from pellucid.errors import DataError, FileFormatError, PellucidError, ShapeError
from pellucid.preprocessing import Preprocessing, convert_images, image_info, read_image


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def saved(folder, image, name="image.png", **settings):
    image.save(folder / name, **settings)
    return folder / name


def test_plain_colour_images_come_back_pixel_for_pixel(tmp_path, pixels):
    for name in ("a.png", "a.bmp", "a.tif", "a.ppm"):
        path = saved(tmp_path, Image.fromarray(pixels), name)
        np.testing.assert_array_equal(read_image(path, channels=3), pixels)
        assert image_info(path) == (6, 9, 3)


def test_grey_becomes_three_equal_channels_and_colour_becomes_luma(tmp_path, pixels):
    grey = saved(tmp_path, Image.fromarray(pixels[..., 0]))
    np.testing.assert_array_equal(read_image(grey, channels=3), np.repeat(pixels[..., :1], 3, axis=2))
    assert image_info(grey) == (6, 9, 1)
    colour = saved(tmp_path, Image.fromarray(pixels), "colour.png")
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_image(colour, channels=1)[..., 0] - luma).max() <= 1


def test_transparency_is_laid_over_white(tmp_path):
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = (0, 255, 128)  # black, from invisible to solid
    path = saved(tmp_path, Image.fromarray(rgba))
    assert read_image(path, channels=3)[0, :, 0].tolist() == [255, 0, 127]
    assert read_image(path, channels=1)[0, :, 0].tolist() == [255, 0, 127]
    grey_alpha = saved(tmp_path, Image.fromarray(rgba[..., 2:]), "la.png")
    assert read_image(grey_alpha, channels=1)[0, :, 0].tolist() == [255, 0, 127]
    assert image_info(grey_alpha)[2] == 1


def test_palettes_with_and_without_transparency(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    path = saved(tmp_path, image)
    assert read_image(path, channels=3).tolist() == [[[10, 20, 30], [200, 100, 50]]]
    path = saved(tmp_path, image, "clear.png", transparency=b"\x00\xff")
    assert read_image(path, channels=3).tolist() == [[[255, 255, 255], [200, 100, 50]]]
    assert read_image(saved(tmp_path, image, "a.gif"), channels=3).tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_sixteen_bit_and_one_bit_grey(tmp_path):
    values = np.array([[0, 257, 32768, 65535]], np.uint16)
    for name in ("a.png", "a.tif"):
        path = saved(tmp_path, Image.fromarray(values), name)
        assert read_image(path, channels=1)[0, :, 0].tolist() == [0, 1, 128, 255]
    path = saved(tmp_path, Image.fromarray(np.array([[False, True]])), "bits.png")
    assert read_image(path, channels=1)[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, pixels, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(pixels), f"{orientation}.png", exif=exif)
    # What each orientation asks for, from the EXIF 2.3 standard.
    upright = {
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1],
        5: pixels.transpose(1, 0, 2), 6: np.rot90(pixels, -1), 7: pixels[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(pixels),
    }[orientation]  # fmt: skip
    np.testing.assert_array_equal(read_image(path, channels=3), upright)
    assert image_info(path) == (*upright.shape[:2], 3)


def test_resizing_stretches_to_height_and_width(tmp_path, pixels):
    path = saved(tmp_path, Image.fromarray(pixels))
    assert read_image(path, size=(3, 20), channels=1).shape == (3, 20, 1)
    constant = saved(tmp_path, Image.new("RGB", (50, 10), (1, 2, 3)), "constant.png")
    assert (read_image(constant, size=(7, 7), channels=3) == [1, 2, 3]).all()


def test_arrays_are_converted_exactly_as_files_are(tmp_path, pixels):
    path = saved(tmp_path, Image.fromarray(pixels))
    for size, channels in (((4, 5), 3), ((4, 5), 1), ((6, 9), 1)):
        from_array = convert_images(pixels[None], size=size, channels=channels)[0]
        np.testing.assert_array_equal(from_array, read_image(path, size=size, channels=channels))
    assert convert_images(pixels[None]) is not None
    with pytest.raises(DataError, match="Only uint8 images"):
        convert_images(np.zeros((1, 4, 4, 3), np.float32), size=(2, 2))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp", ".tif"])
def test_truncated_files_are_named(tmp_path, suffix):
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8))
    path = saved(tmp_path, noise, "whole" + suffix)
    blob = path.read_bytes()
    for length in (0, 5, 30, len(blob) // 2):
        broken = tmp_path / f"broken{suffix}"
        broken.write_bytes(blob[:length])
        with pytest.raises(DataError, match=rf"broken\{suffix}"):
            read_image(broken, channels=3)


@pytest.mark.parametrize("content", [b"", b"not an image", b"<html>", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_other_files_are_named(tmp_path, content):
    path = tmp_path / "file.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"file\.png is not an image"):
        read_image(path, channels=3)


def test_missing_files_and_folders_are_named(tmp_path):
    for path in (tmp_path / "no.png", tmp_path):
        with pytest.raises(DataError, match="is not a file"):
            read_image(path, channels=3)


@pytest.mark.parametrize("side", [9000, 12_000, 60_000])
def test_decompression_bombs_are_refused_before_decoding(tmp_path, side):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    blob = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(blob)
    with pytest.raises(PellucidError, match=r"bomb\.png .*(limit|bomb)"):
        read_image(tmp_path / "bomb.png", channels=3)


def test_floating_point_pixels_are_refused(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.zeros((2, 2), np.float32)), "float.tif")
    with pytest.raises(DataError, match=r"float\.tif.*floating-point"):
        read_image(path, channels=1)


@pytest.mark.parametrize(("size", "channels"), [((0, 4), 3), ((4,), 3), ((4, 4.0), 3), (None, 2), ((4, 10**6), 1)])
def test_impossible_sizes_and_channels_are_refused(tmp_path, size, channels):
    path = saved(tmp_path, Image.new("RGB", (2, 2)))
    with pytest.raises(DataError, match=r"(size|channels) is"):
        read_image(path, size=size, channels=channels)


@given(st.integers(1, 30), st.integers(1, 4), st.integers(0, 2**32 - 1), st.booleans())
def test_statistics_are_those_of_numpy_in_float64(n, c, seed, floats):
    x = np.random.default_rng(seed).integers(0, 256, (n, 5, 3, c), np.uint8)
    x = x.astype(np.float32) if floats else x
    fitted = Preprocessing.fit(x)
    scale = 1.0 if floats else 1 / 255
    np.testing.assert_allclose(fitted.mean, x.mean((0, 1, 2), dtype=np.float64) * scale, rtol=1e-12)
    np.testing.assert_allclose(fitted.std, x.std((0, 1, 2), dtype=np.float64) * scale, rtol=1e-12)
    y = fitted(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-5)


def test_statistics_are_gathered_piece_by_piece(monkeypatch):
    x = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3), np.uint8)
    whole = Preprocessing.fit(x)
    monkeypatch.setattr(preprocessing, "_PIXELS_AT_ONCE", 16 * 7)
    assert Preprocessing.fit(x) == whole
    assert Preprocessing.fit(x.astype(np.float32)).std == pytest.approx(np.array(whole.std) * 255)


def test_a_constant_channel_is_only_centred():
    x = np.full((3, 2, 2, 1), 7, np.uint8)
    assert Preprocessing.fit(x).std == (1.0,)
    np.testing.assert_allclose(Preprocessing.fit(x)(x), 0, atol=1e-8)


def test_the_formula_and_any_dtype():
    fitted = Preprocessing(size=(2, 2), channels=2, scale=0.5, mean=(1.0, 2.0), std=(0.25, 4.0))
    x = np.arange(16).reshape(2, 2, 2, 2)
    wanted = (x * 0.5 - np.array([1.0, 2.0])) / np.array([0.25, 4.0])
    for dtype in (np.uint8, np.int64, np.float16, np.float64):
        np.testing.assert_allclose(fitted(x.astype(dtype)), wanted, rtol=1e-6)
    x.flags.writeable = False
    assert fitted(x).flags.writeable


@pytest.mark.parametrize(
    ("shape", "hint"),
    [((4, 5, 3), "x\\[None\\]"), ((2, 3, 4, 5), "transpose"), ((2, 5, 5, 3), "wanted"), ((2, 60), "wanted")],
)
def test_wrong_shapes_get_the_likely_fix(shape, hint):
    fitted = Preprocessing(size=(4, 5), channels=3, scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    with pytest.raises(ShapeError, match=hint):
        fitted(np.zeros(shape))


def test_to_and_from_plain_json():
    fitted = Preprocessing.fit(np.random.default_rng(0).integers(0, 256, (4, 3, 2, 3), np.uint8))
    assert Preprocessing.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted


@pytest.mark.parametrize(
    "change",
    [
        {"size": [0, 3]}, {"size": [3]}, {"size": 3}, {"size": "ab"}, {"size": [3.0, 3]}, {"channels": 0}, {"channels": True},
        {"channels": "1"}, {"scale": 0}, {"scale": float("nan")}, {"scale": None}, {"mean": [0, 0]}, {"mean": ["a"]}, {"mean": 0},
        {"std": [0]}, {"std": [-1]}, {"std": [float("inf")]}, {"extra": 1},
    ],
)  # fmt: skip
def test_damaged_preprocessing_of_a_model_is_refused(change):
    good = {"size": [3, 3], "channels": 1, "scale": 1.0, "mean": [0.0], "std": [1.0]}
    assert Preprocessing.from_dict(good).size == (3, 3)
    with pytest.raises(FileFormatError):
        Preprocessing.from_dict(good | change)
    for key in good:
        with pytest.raises(FileFormatError, match="entries"):
            Preprocessing.from_dict({name: value for name, value in good.items() if name != key})
    with pytest.raises(FileFormatError):
        Preprocessing.from_dict([1])


def test_few_bytes_that_unpack_to_many_pixels_are_refused(tmp_path):
    """Of one colour, which nobody learns from: a picture of as many pixels that holds something is read."""
    Image.new("RGB", (2200, 2200), "white").save(tmp_path / "a.webp", lossless=True)
    with pytest.raises(DataError, match=r"2200 x 2200 pixels, more than the limit of 4,194,304 for a file of its size"):
        read_image(tmp_path / "a.webp", channels=1)
    Image.new("1", (2200, 2200), 1).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", size=(8, 8), channels=1).shape == (8, 8, 1)
