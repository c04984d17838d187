"""Times Pillow and Dunlin, turn about, on the same 1920×1080 JPEG.

    cargo build --release -p dunlin-transforms --example time_picture
    python shared/transforms/examples/time_pillow.py target/release/examples/time_picture
"""

import io
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image, ImageOps

METHODS = {name.lower(): getattr(Image.Resampling, name) for name in ["NEAREST", "BILINEAR", "BICUBIC", "LANCZOS"]}
RUNS = 31


def picture():
    """Gradients, edges and noise; as large as a camera's file of that size."""
    y, x = np.mgrid[0:1080, 0:1920].astype(float)
    rgb = np.stack([x / 7.6, y / 4.3, 127 + 127 * np.sin(x / 50) * np.cos(y / 70)], -1)
    rgb[(x > 1200) & (y < 480) & ((x // 20 + y // 30) % 2 == 0)] = 255
    rgb += np.random.default_rng(7).normal(0, 4, rgb.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def pillow(file, method):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert("RGB")
    array = np.asarray(image.resize((224, 224), method), np.float32) / 255
    return np.ascontiguousarray(array.transpose(2, 0, 1)[None])


def main():
    file = picture()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "1080p.jpg"
        path.write_bytes(file)
        print(len(file), "bytes")
        for name, method in METHODS.items():
            times = []
            for _ in range(RUNS):
                start = time.perf_counter()
                pillow(file, method)
                times.append((time.perf_counter() - start) * 1e3)
            times.sort()
            print(f"Pillow 224×224 {name}: median {times[RUNS // 2]:.2f} ms, best {times[0]:.2f} ms")
            print("Dunlin", end=" ", flush=True)
            subprocess.run([sys.argv[1], path, "224", "224", name], check=True)


main()
