"""Figures of the `shapes` scenes and how they become a picture."""

import io
import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw

SIDE = 96  # pixels, height and width of a scene
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (208, 32, 36),
    "orange": (243, 136, 22),
    "yellow": (240, 213, 32),
    "green": (40, 150, 62),
    "blue": (36, 88, 204),
    "purple": (124, 48, 158),
    "pink": (246, 132, 182),
    "black": (28, 28, 32),
}
_OVERSAMPLING = 4  # masks are drawn this many times larger and reduced, for smooth edges
_SHADE_JITTER = 13  # greatest change of a channel of a named colour, of 255
_NOISE = 4  # greatest change of a channel of a pixel by noise, of 255


@dataclass(frozen=True)
class Figure:
    """One object of a scene."""

    kind: str  # a key of `OUTLINES`
    colour: str  # a key of `COLOURS`
    size: str  # "small", "medium" or "large"
    shade: tuple[int, int, int]  # RGB of this very object
    points: np.ndarray  # (P, 2) outline, x and y in pixels

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the outline, each in [0, 1]."""
        (left, top), (right, bottom) = self.points.min(0) / SIDE, self.points.max(0) / SIDE
        return float(left), float(top), float(right), float(bottom)


def outline(kind: str, side: float, angle: float) -> np.ndarray:
    """Return the outline (P, 2) of a figure in pixels, x and y, its box starting at (0, 0).

    Args:
        kind: a key of `OUTLINES`.
        side: square root of the area of the box, in pixels, so that figures of one size are equally large.
        angle: turn about the centre, in radians.
    """
    cosine, sine = np.cos(angle), np.sin(angle)
    points = OUTLINES[kind] @ np.array([[cosine, sine], [-sine, cosine]])
    points -= points.min(0)
    return points * (side / np.sqrt(points.max(0).prod()))


def shade(colour: str, rng: np.random.Generator) -> tuple[int, int, int]:
    """Return an RGB near the named colour."""
    jitter = rng.integers(-_SHADE_JITTER, _SHADE_JITTER + 1, 3)
    red, green, blue = np.clip(np.array(COLOURS[colour]) + jitter, 0, 255).tolist()
    return red, green, blue


def draw(figures: tuple[Figure, ...], rng: np.random.Generator) -> bytes:
    """Return a scene as an encoded PNG, `SIDE` x `SIDE`: the figures on a light, shaded ground under noise."""
    picture = Image.fromarray(_ground(rng))
    for figure in figures:
        _paint(picture, figure)
    noise = rng.integers(-_NOISE, _NOISE + 1, (SIDE, SIDE, 3), dtype=np.int8)
    noisy = np.clip(np.asarray(picture, np.int16) + noise, 0, 255).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(noisy).save(encoded, "PNG", compress_level=1, compress_type=zlib.Z_RLE)  # best for noise, and fast
    return encoded.getvalue()


def _ground(rng: np.random.Generator) -> np.ndarray:
    """Return a light ground (SIDE, SIDE, 3) that grows brighter in one direction."""
    tint = rng.uniform(205, 235, 3).astype(np.float32)
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(4, 14)
    ramp = np.linspace(-strength, strength, SIDE, dtype=np.float32)
    slope = np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None]
    return (tint + slope[:, :, None]).astype(np.uint8)


def _paint(picture: Image.Image, figure: Figure) -> None:
    corner = np.floor(figure.points.min(0)).astype(int)
    width, height = (np.ceil(figure.points.max(0)).astype(int) - corner + 1).tolist()
    mask = Image.new("L", (width * _OVERSAMPLING, height * _OVERSAMPLING))
    # Pillow fills through the centre of the last pixel, so half a pixel keeps the edge where the outline has it.
    points = (figure.points - corner) * _OVERSAMPLING - 0.5
    ImageDraw.Draw(mask).polygon(points.ravel().tolist(), fill=255)
    left, top = corner.tolist()
    picture.paste(figure.shade, (left, top, left + width, top + height), mask.reduce(_OVERSAMPLING))


def _arc(start: float, end: float, radius: float = 1.0, centre: float = 0.0, count: int = 40) -> np.ndarray:
    angles = np.radians(np.linspace(start, end, count))
    return np.stack([centre + radius * np.cos(angles), radius * np.sin(angles)], 1)


def _star() -> np.ndarray:
    angles = np.radians(np.arange(10) * 36 - 90)
    radii = np.where(np.arange(10) % 2, 0.42, 1.0)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1)


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    height = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, -height], 1)


def _crescent() -> np.ndarray:
    inner_centre, inner_radius = 0.52, 0.78
    # The two circles meet where |p| = 1 and |p - c| = r.
    x = (1 - inner_radius**2 + inner_centre**2) / (2 * inner_centre)
    outer = np.degrees(np.arccos(x))
    inner = np.degrees(np.arccos((x - inner_centre) / inner_radius))
    return np.concatenate([_arc(outer, 360 - outer), _arc(360 - inner, inner, inner_radius, inner_centre)])


_ARM = 0.34  # half the width of the cross's arms

OUTLINES: dict[str, np.ndarray] = {  # (P, 2) x and y, y downwards; the scale of an outline does not matter
    "circle": _arc(0, 360),
    "square": np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]),
    "triangle": np.array([[0.0, -1], [1, 0.75], [-1, 0.75]]),
    "star": _star(),
    # From the rim to the hole on a slope: Pillow leaves a gap where the way there and back is level.
    "ring": np.concatenate([_arc(45, 405), _arc(405, 45, radius=0.58)]),
    "cross": np.array(
        [
            *([-_ARM, -1], [_ARM, -1], [_ARM, -_ARM], [1, -_ARM], [1, _ARM], [_ARM, _ARM]),
            *([_ARM, 1], [-_ARM, 1], [-_ARM, _ARM], [-1, _ARM], [-1, -_ARM], [-_ARM, -_ARM]),
        ]
    ),
    "heart": _heart(),
    "diamond": np.array([[0.0, -1], [0.68, 0], [0, 1], [-0.68, 0]]),
    "arrow": np.array([[-1.0, -0.3], [0.05, -0.3], [0.05, -0.85], [1, 0], [0.05, 0.85], [0.05, 0.3], [-1, 0.3]]),
    "crescent": _crescent(),
}
KINDS = tuple(OUTLINES)
