"""Inputs as the models get them in use: photographs, a scanned page, a file's bytes, sentences, speech, music.

Pictures come out of the package `scikit-image`. Sounds are made here, from a seed.
"""

import io
import json

import numpy as np
from PIL import Image

SKIMAGE = "scikit-image"
PHOTOGRAPHS = ["chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg"]
SPEECH_RATE, MUSIC_RATE = 16_000, 22_050
# Word pieces of BERT's uncased vocabulary.
SENTENCES = [
    [101, 1996, 4248, 2829, 4419, 14523, 2058, 1996, 13971, 3899, 1012, 102],
    [101, 2023, 2003, 1037, 6251, 2008, 2003, 2936, 2084, 1996, 2060, 1010, 1998, 2009, 4515, 2182, 1012, 102],
]


def picture(packages, name):
    return Image.open(io.BytesIO(packages.read(SKIMAGE, f"skimage/data/{name}"))).convert("RGB")


def photograph(packages, name="chelsea.png", size=224, mean=127.0, scale=128.0):
    """The middle of a photograph, FP32 [1, 3, size, size], as (pixel - mean) / scale."""
    image = picture(packages, name)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BICUBIC)
    array = (np.asarray(image, np.float32) - np.float32(mean)) / np.float32(scale)
    return array.transpose(2, 0, 1)[None].copy()


def page(packages, width, height, box=None):
    """The scanned page, or a box of it, as PP-OCR takes it: FP32 [1, 3, height, width] in [-1, 1], blue first."""
    image = picture(packages, "page.png").crop(box) if box else picture(packages, "page.png")
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    array = np.asarray(image, np.float32)[:, :, ::-1] / np.float32(127.5) - np.float32(1)
    return array.transpose(2, 0, 1)[None].copy()


def file_bytes(packages):
    """Magika's own description, as magika looks at a file: its first and last 1,024 bytes, stripped, padded by 256."""
    folder = "magika/models/standard_v3_3"
    config = json.loads(packages.read("magika", f"{folder}/config.min.json"))
    data = packages.read("magika", f"{folder}/README.md").strip()
    first, last = data[: config["beg_size"]], data[-config["end_size"] :]
    padding = config["padding_token"]
    values = list(first) + [padding] * (config["beg_size"] - len(first))
    values += [padding] * (config["end_size"] - len(last)) + list(last)
    return np.array([values], np.int32)


def sentence(length):
    """Token ids and mask, INT64 [1, length]: the sentences after each other."""
    ids = [token for _ in range(length) for words in SENTENCES for token in words[1:-1]]
    ids = [101, *ids[: length - 2], 102]
    return np.array([ids], np.int64), np.ones((1, length), np.int64)


def speech(seconds):
    """Vowels: pulses of a voice that falls from 140 to 110 Hz through three resonances, with breath. FP32 at 16 kHz."""
    random = np.random.default_rng(7)
    count = int(seconds * SPEECH_RATE)
    time = np.arange(count) / SPEECH_RATE
    phase = np.cumsum(np.linspace(140, 110, count) / SPEECH_RATE)
    source = np.diff(np.floor(phase), prepend=0) + random.normal(0, 0.01, count)
    sound = np.zeros(count)
    vowels = [(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480)]
    for part, formants in enumerate(vowels):
        inside = (time * 4).astype(int) % len(vowels) == part
        voice = source * inside
        for frequency in formants:
            voice = resonance(voice, frequency, 80)
        sound += voice
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def resonance(signal, frequency, bandwidth):
    """Klatt's digital resonator (1980)."""
    c = -np.exp(-2 * np.pi * bandwidth / SPEECH_RATE)
    b = 2 * np.exp(-np.pi * bandwidth / SPEECH_RATE) * np.cos(2 * np.pi * frequency / SPEECH_RATE)
    y = np.zeros(len(signal) + 2)
    for at, x in enumerate(signal):
        y[at + 2] = (1 - b - c) * x + b * y[at + 1] + c * y[at]
    return y[2:]


def chunks(sound, context=64, size=512):
    """Speech as silero takes it: FP32 [n, 576], each chunk after the last samples of the one before."""
    padded = np.concatenate([np.zeros(context, np.float32), sound])
    count = len(sound) // size
    return np.stack([padded[i * size : i * size + context + size] for i in range(count)])


def music(count):
    """Plucked strings (Karplus and Strong, 1983), a C major chord note by note, and the noise that every recording
    has: without it the quietest bins would be rounding alone. FP32 [1, count, 1] at 22.05 kHz."""
    random = np.random.default_rng(7)
    sound = np.zeros(count)
    for note, frequency in enumerate([261.63, 329.63, 392.0, 523.25]):
        ring = random.uniform(-1, 1, round(MUSIC_RATE / frequency))
        start = note * count // 5
        for at in range(start, count):
            slot = (at - start) % len(ring)
            sound[at] += ring[slot]
            ring[slot] = 0.498 * (ring[slot] + ring[(slot + 1) % len(ring)])
    sound = 0.5 * sound / np.abs(sound).max() + random.normal(0, 1e-3, count)
    return sound.astype(np.float32).reshape(1, count, 1)
