"""Hostile requests, and what is right for each."""

import functools
import io
import random
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from dafsn_client import protocol, tensors
from scenarios.embedded_server import request


def pictures(generator: random.Random) -> dict[str, bytes]:
    """Return one small picture of every format, by name; some of them no server reads."""
    noise = np.random.default_rng(generator.randrange(2**32)).integers(0, 256, (33, 47, 4), "uint8")
    kinds = {
        "jpeg": ("JPEG", "RGB", {}),
        "progressive": ("JPEG", "RGB", {"progressive": True}),
        "cmyk": ("JPEG", "CMYK", {}),
        "png": ("PNG", "RGBA", {}),
        "png-gray": ("PNG", "L", {}),
        "png-palette": ("PNG", "P", {}),
        "gif": ("GIF", "P", {}),
        "bmp": ("BMP", "RGB", {}),
        "webp": ("WEBP", "RGB", {}),
        "webp-lossless": ("WEBP", "RGBA", {"lossless": True}),
        "tiff": ("TIFF", "RGB", {}),
        "ppm": ("PPM", "RGB", {}),
        "ico": ("ICO", "RGBA", {}),
    }
    made = {name: _encoded(Image.fromarray(noise), *kind) for name, kind in kinds.items()}
    frames = [Image.fromarray(np.roll(noise[..., :3], shift, 0)) for shift in range(3)]
    for name in ("GIF", "WEBP", "PNG"):
        stream = io.BytesIO()
        frames[0].save(stream, name, save_all=True, append_images=frames[1:])
        made[f"animated-{name.lower()}"] = stream.getvalue()
    return made


def _encoded(image: Image.Image, kind: str, mode: str, options: dict[str, Any]) -> bytes:
    return _saved(
        image.convert("RGB").convert(mode) if mode in ("CMYK", "P", "L") else image.convert(mode), kind, options
    )


def _saved(image: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@functools.cache
def bombs() -> dict[str, tuple[bytes, int]]:
    """Return small files that would expand to gigabytes, or keep a decoder busy for minutes, and the right status."""
    large, small = (_saved(Image.new("P", (side, side)), "GIF", {}) for side in (9000, 9))
    frame = large[large.index(b",\0\0\0\0") : -1]
    canvas = _saved(
        Image.new("RGB", (900, 900)), "WEBP", {"lossless": True, "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0"}
    )
    jpeg = _saved(Image.new("L", (7000, 7000)), "JPEG", {"progressive": True})
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    png = _saved(Image.new("RGB", (8, 8)), "PNG", {})
    text = _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(7_000_000), 9))
    return {
        "png of 20000 x 20000": (_black_png(20_000, 20_000), 12),
        "gif of 9000 x 9000, its screen 1 x 1": (large[:6] + struct.pack("<HH", 1, 1) + large[10:], 12),
        "gif of 9 x 9, then 20 frames of 9000 x 9000": (small[:-1] + 20 * frame + b";", 0),
        "webp of 16384 x 16384": (canvas[:24] + 2 * (16383).to_bytes(3, "little") + canvas[30:], 12),
        "webp of 900 x 900, its canvas 1 x 1": (canvas[:24] + bytes(6) + canvas[30:], 14),
        "jpeg of 7000 x 7000 and 1000 scans": (jpeg[:-2] + 1000 * scan + jpeg[-2:], 14),
        "png of 8 x 8 and 300 texts of 7 MB": (png[:33] + 300 * text + png[33:], 14),
    }


def _black_png(width: int, height: int) -> bytes:
    rows = zlib.compressobj(9)
    row = b"\0" + bytes((width + 7) // 8)
    content = b"".join(rows.compress(row) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", content) + _chunk(b"IEND", b"")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def mutated(data: bytes, generator: random.Random) -> bytes:
    """Return data cut, overwritten, stretched or shuffled somewhere."""
    changed = bytearray(data)
    for _ in range(generator.randint(1, 4)):
        place = generator.randrange(len(changed) or 1)
        kind = generator.randrange(6)
        if kind == 0:
            del changed[place:]
        elif kind == 1:
            changed[place : place + 1] = generator.randbytes(1)
        elif kind == 2:
            changed[place:place] = generator.randbytes(generator.randint(1, 64))
        elif kind == 3:
            length = generator.randint(1, 32)
            changed[place : place + length] = b"\xff" * length
        elif kind == 4:
            place = generator.randrange(min(40, len(changed) or 1))  # the header, where sizes stand
            changed[place : place + 4] = generator.randbytes(4)
        else:
            del changed[place : place + generator.randint(1, 64)]
    return bytes(changed)


def hostile_text(generator: random.Random) -> tuple[bytes, set[int]]:
    """Return a text of any bytes, and the statuses that it may have."""
    kind = generator.randrange(6)
    if kind == 0:
        return generator.randbytes(generator.randint(0, 200)), {0, 1}
    if kind == 1:
        characters = (chr(generator.randrange(0x110000)) for _ in range(50))
        return "".join(characters).encode("utf-8", "surrogatepass"), {0, 1}
    if kind == 2:
        return b"word " * generator.randint(1, 50_000), {0}
    if kind == 3:
        return "e\u0301\u0300\u200d\u202e\ufeff\0".encode() * generator.randint(1, 500), {0}
    if kind == 4:
        return b"a " * generator.randint(1, 1_000_000), {0}
    return b"\0" * generator.randint(1, 1000), {1}


IMAGE_STATUSES = {0, 10, 11, 12, 13, 14}
UNREAD = {"tiff": 11, "ppm": 11, "ico": 11, "animated-webp": 13}  # formats of `pictures` that no server reads


def hostile_requests(count: int, seed: int = 0) -> Iterator[tuple[str, Any, str | list[set[int]]]]:
    """Yield (kind, PredictRequest, what is right) of `count` requests.

    Right is one gRPC code of an error, or for each row the statuses that it may have: of rows that nothing is wrong
    with, 0 alone.
    """
    generator = random.Random(seed)
    good = pictures(generator)
    explosive = list(bombs().values())
    kinds = {
        "image": 35, "unread": 5, "text": 20, "pair": 10, "random": 8, "bomb": 3, "dtype": 5, "shape": 5, "names": 5,
        "signature": 2, "gigabyte": 2,
    }  # fmt: skip
    for number in range(count):
        kind = generator.choices(list(kinds), list(kinds.values()))[0]
        image = mutated(good[generator.choice(list(good))], generator)
        text, text_statuses = hostile_text(generator)
        refused = "INVALID_ARGUMENT"
        if kind == "image":
            yield kind, request("encode_image", images=[image, good["png"]]), [IMAGE_STATUSES, {0}]
        elif kind == "unread":
            name = generator.choice(list(UNREAD))
            yield kind, request("search_by_image", images=[good["gif"], good[name]]), [{0}, {UNREAD[name]}]
        elif kind == "text":
            signature = generator.choice(["encode_text", "search"])
            yield kind, request(signature, texts=[text, b"a star"]), [text_statuses, {0}]
        elif kind == "pair":
            asked = request("similarity", texts=[text, b"a star"], images=[good["jpeg"], image])
            yield kind, asked, [text_statuses, IMAGE_STATUSES]
        elif kind == "random":
            data = generator.randbytes(generator.choice([0, 1, 12, 100, 5000]))
            yield kind, request("search_by_image", images=[data, good["webp"]]), [{11} if data else {10}, {0}]
        elif kind == "bomb":
            data, status = generator.choice(explosive)
            yield kind, request("encode_image", images=[data, good["bmp"]]), [{status}, {0}]
        elif kind == "dtype":
            value = generator.choice([np.zeros(2, np.float32), np.zeros(2, np.int64), np.zeros(2, bool)])
            yield kind, request("encode_text", texts=value), refused
        elif kind == "shape":
            value: Any = generator.choice([b"a scalar", [[b"rank"], [b"two"]], [[[b"rank three"]]]])
            yield kind, request("encode_text", texts=value), refused
        elif kind == "names":
            named = {"".join(generator.choices("abc\u00fc ", k=5)): [b"a"]}
            yield kind, request("encode_text", **named), refused
        elif kind == "signature":
            yield kind, request(f"nothing-{number}", texts=[b"a"]), "FAILED_PRECONDITION"
        else:
            tensor = protocol.TensorProto(dtype=tensors.STRING)
            tensor.tensor_shape.dim.add(size=2**28)
            asked = request("encode_text")
            asked.inputs["texts"].CopyFrom(tensor)
            yield kind, asked, refused
