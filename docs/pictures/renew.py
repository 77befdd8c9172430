"""Take the README's pictures from those of a demo, small: `make pictures`, or

python docs/pictures/renew.py demo/pictures
"""

import sys
from pathlib import Path

from PIL import Image

NAMES = {"found.png": "found.jpg", "attention-1.png": "attention.jpg"}  # of the demo, of the README
HERE = Path(__file__).parent
_WIDTH = 900  # pixels


def renew(source: Path, target: Path = HERE) -> None:
    """Write the pictures of `NAMES` from one folder to another, scaled down, as JPEG."""
    for name, small_name in NAMES.items():
        with Image.open(source / name) as picture:
            height = round(picture.height * _WIDTH / picture.width)
            small = picture.convert("RGB").resize((_WIDTH, height), Image.Resampling.LANCZOS)
        small.save(target / small_name, "JPEG", quality=85, subsampling=0, optimize=True)


if __name__ == "__main__":
    renew(Path(sys.argv[1]))
