"""Makes the golden files of shared/transforms: sample pictures, and what Pillow makes of them.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install pillow==13.0.0 numpy==2.4.6
    /tmp/golden/bin/python shared/transforms/tests/data/make.py

Writes beside itself: samples/*, cases.json (each case: a sample, an [input] table, a datatype, a
shape, a place in expected.png) and expected.png (the bytes of all expected tensors, row by row).
"""

import io
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps
from PIL import __version__ as pillow_version

HERE = pathlib.Path(__file__).parent
SAMPLES = HERE / "samples"
RESAMPLE = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
FITS = ["stretch", "cover", "contain"]
ROW = 1024


def scene(width, height):
    """Gradients, a disc, hard black and white edges, and a little noise: RGB."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    red = 255 * x / max(width - 1, 1)
    green = 255 * y / max(height - 1, 1)
    blue = 127 + 127 * np.sin(x / 5) * np.cos(y / 7)
    rgb = np.stack([red, green, blue], -1)
    disc = (x - width * 0.3) ** 2 + (y - height * 0.6) ** 2 < (min(width, height) * 0.22) ** 2
    rgb[disc] = [230, 40, 60]
    stripes = (x > width * 0.6) & (y < height * 0.45) & ((x // 2 + y // 3) % 2 == 0)
    rgb[stripes] = 255
    rgb[(x > width * 0.6) & (y < height * 0.45) & ~stripes] = 0
    noise = np.random.default_rng(7).normal(0, 4, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


def png16(array):
    """A 16-bit PNG, which Pillow writes for grey only."""
    height, width, channels = array.shape
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def make_samples():
    SAMPLES.mkdir(exist_ok=True)
    for old in SAMPLES.iterdir():
        old.unlink()
    pixels = scene(97, 71)
    rgb = Image.fromarray(pixels)
    grey = rgb.convert("L")
    alpha = Image.linear_gradient("L").resize(rgb.size)
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    la = Image.merge("LA", [grey, alpha])
    palette = rgb.quantize(64)
    other = ImageOps.mirror(rgb)
    wide = pixels.astype(np.uint16) * 257 - pixels[::-1] // 2
    alpha16 = np.asarray(alpha, dtype=np.uint16)[..., None] * 257

    def save(name, image, **options):
        image.save(SAMPLES / name, **options)

    save("rgb.png", rgb, optimize=True)
    save("rgba.png", rgba, optimize=True)
    save("grey.png", grey, optimize=True)
    save("la.png", la, optimize=True)
    save("palette.png", palette, optimize=True)
    save("palette-transparent.png", palette, transparency=3)
    save("bits1.png", grey.convert("1"))
    save("palette4.png", rgb.quantize(4), bits=2)
    (SAMPLES / "grey16.png").write_bytes(png16(wide[..., :1]))
    (SAMPLES / "rgb16.png").write_bytes(png16(wide))
    (SAMPLES / "rgba16.png").write_bytes(png16(np.concatenate([wide, alpha16], -1)))
    save("444.jpg", rgb, quality=90, subsampling="4:4:4")
    save("422.jpg", rgb, quality=90, subsampling="4:2:2")
    save("420.jpg", rgb, quality=90, subsampling="4:2:0")
    save("progressive.jpg", rgb, quality=90, subsampling="4:4:4", progressive=True)
    save("restart.jpg", rgb, quality=90, subsampling="4:4:4", restart_marker_rows=1)
    save("grey.jpg", grey, quality=90)
    save("cmyk.jpg", rgb.convert("CMYK"), quality=90)
    save("lossless.webp", rgb, lossless=True)
    save("lossy.webp", rgb, quality=90)
    save("alpha.webp", rgba, lossless=True, exact=True)
    save("animated.webp", rgb, save_all=True, append_images=[other], lossless=True)
    save("palette.gif", palette)
    save("transparent.gif", palette, transparency=3)
    save("animated.gif", palette, save_all=True, append_images=[other.quantize(64)])
    save("interlaced.gif", grey, interlace=1)
    save("rgb.bmp", rgb)
    save("palette.bmp", palette)
    save("grey.bmp", grey)
    save("tiny.png", Image.fromarray(scene(13, 9)), optimize=True)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.fromarray(scene(24, 16))
        save(f"orientation{orientation}.jpg", image, quality=95, subsampling="4:4:4", exif=exif)
    exif = Image.Exif()
    exif[0x0112] = 6
    save("orientation6.png", Image.fromarray(scene(24, 16)), exif=exif)
    save("orientation6.webp", Image.fromarray(scene(24, 16)), exif=exif, lossless=True)


def load(file, mode):
    """The first frame, upright, 8 bits a channel, without alpha."""
    image = Image.open(SAMPLES / file)
    image.load()
    if image.mode.startswith("I;16"):
        # Pillow's convert clips these to 255; as with colour, the upper half is the picture.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image = ImageOps.exif_transpose(image)
    return image.convert("RGB").convert(mode) if mode == "RGB" else image.convert(mode)


def resized(image, spec):
    method = RESAMPLE[spec.get("resample", "bilinear")]
    size = spec.get("size")
    if size is None:
        return image
    if isinstance(size, int):  # torchvision.transforms.Resize(size)
        short, long = sorted(image.size)
        other = size * long // short
        wanted = (size, other) if image.width <= image.height else (other, size)
        return image.resize(wanted, method)
    wanted = (size[1], size[0])
    fit = spec.get("fit", "stretch")
    if fit == "cover":
        return ImageOps.fit(image, wanted, method)
    if fit == "contain":
        pad = spec.get("pad", 0)
        return ImageOps.pad(image, wanted, method, color=(pad,) * len(image.getbands()))
    return image.resize(wanted, method)


def tensor(file, spec, datatype):
    """What a training pipeline in Pillow and numpy would feed to the model."""
    color = spec.get("color", "rgb")
    image = resized(load(file, "L" if color == "grey" else "RGB"), spec)
    if "crop" in spec:  # torchvision.transforms.CenterCrop
        height, width = spec["crop"]
        top = int(round((image.height - height) / 2.0))
        left = int(round((image.width - width) / 2.0))
        image = image.crop((left, top, left + width, top + height))
    array = np.asarray(image)
    array = array[..., None] if array.ndim == 2 else array
    array = array[..., ::-1] if color == "bgr" else array
    if datatype != "UINT8":
        mean = np.asarray(spec.get("mean", 0.0), np.float64)
        std = np.asarray(spec.get("std", 1.0), np.float64)
        array = (array * np.float64(spec.get("scale", 1 / 255)) - mean) / std
        array = array.astype({"FP32": "<f4", "FP16": "<f2", "FP64": "<f8"}[datatype])
    array = array[None]
    return array if spec.get("layout") == "nhwc" else array.transpose(0, 3, 1, 2)


def cases():
    special = ("tiny", "orientation")
    every = sorted(path.name for path in SAMPLES.iterdir())
    formats = [name for name in every if not name.startswith(special)]
    for name in formats:
        for color in ["rgb", "grey"]:
            for fit in FITS:
                for resample in RESAMPLE:
                    spec = {"size": [18, 22], "fit": fit, "resample": resample, "color": color}
                    yield name, spec, "UINT8"
    for name in ["rgb.png", "444.jpg", "420.jpg", "lossy.webp", "cmyk.jpg"]:
        yield name, {"size": [71, 97]}, "UINT8"
    for name in [name for name in every if name.startswith("orientation")]:
        yield name, {"size": [12, 10], "fit": "cover", "resample": "bicubic"}, "UINT8"
    for fit in FITS:
        for resample in RESAMPLE:
            for size in [[30, 41], [40, 20], [9, 30]]:
                yield "tiny.png", {"size": size, "fit": fit, "resample": resample}, "UINT8"
    # The seed case: load, resize to 224×224, RGB, divide by 255.
    yield "rgb.png", {"size": [224, 224]}, "UINT8"
    yield "rgb.png", {"size": [16, 12]}, "FP32"
    imagenet = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    yield "rgb.png", {"size": 32, "crop": [28, 28], "resample": "bilinear", **imagenet}, "FP32"
    yield "rgb.png", {"size": 33, "crop": [28, 24], "resample": "bicubic", **imagenet}, "FP16"
    yield "rgb.png", {"size": [16, 12], "color": "bgr", "layout": "nhwc"}, "FP64"
    yield "rgb.png", {"size": [16, 12], "color": "bgr"}, "UINT8"
    yield "rgb.png", {"size": [16, 12], "layout": "nhwc"}, "UINT8"
    yield "rgb.png", {"size": [32, 32], "fit": "contain", "pad": 114, "scale": 1.0}, "FP32"
    yield "rgb.png", {"size": [29, 31], "fit": "cover", "crop": [20, 24]}, "UINT8"
    yield "grey.png", {"size": [16, 12], "color": "grey", "mean": 0.5, "std": 0.5}, "FP32"


def main():
    make_samples()
    expected, table = bytearray(), []
    for file, spec, datatype in cases():
        want = tensor(file, spec, datatype)
        entry = {"file": file, "input": {"kind": "image", **spec}, "datatype": datatype}
        table.append({**entry, "shape": list(want.shape), "at": len(expected)})
        expected += np.ascontiguousarray(want).tobytes()
    expected += bytes(-len(expected) % ROW)
    Image.fromarray(np.frombuffer(expected, np.uint8).reshape(-1, ROW)).save(
        HERE / "expected.png", optimize=True
    )
    lines = ",\n".join(json.dumps(entry) for entry in table)
    (HERE / "cases.json").write_text(f'{{"pillow": "{pillow_version}", "cases": [\n{lines}\n]}}\n')
    print(len(table), "cases")


main()
