"""Three bodies to scan: a torso, a head, and a head with its neck. Tables of blobs, in the order of painting.

Millimetres, RAS+ (x to the right, y to the front, z up), a small adult. The head is painted by one function
for every domain that shows it, the torso likewise: that is what lets one domain teach another something.
"""

from collections.abc import Callable

import numpy as np

from tools.anatomy import Blob, Canvas, waves

LONG = float("inf")

TRUNK = (
    Blob("skin", (0, 0, 0), (128, 94, LONG), jitter=0.3),
    Blob("fat", (0, 0, 0), (126, 92, LONG), jitter=0.2),
    Blob("muscle", (0, 0, 0), (113, 83, LONG), jitter=0.2),
    Blob("fat", (0, 11, 0), (102, 62, LONG), jitter=0.3),
)
ORGANS = (
    Blob("muscle", (35, -40, -60), (17, 17, 75), mirror=True),
    Blob("lung", (56, -8, 115), (46, 62, 72), mirror=True),
    Blob("muscle", (-22, 22, 112), (40, 36, 34)),
    Blob("liver", (50, 10, 46), (56, 58, 56), turn=20),
    Blob("liver", (0, 34, 52), (44, 28, 32)),
    Blob("fluid", (38, 32, 0), (13, 16, 22)),
    Blob("gut", (-44, 26, 40), (34, 30, 42), turn=-25),
    Blob("air", (-44, 44, 46), (20, 9, 22), inside=("gut",)),
    Blob("spleen", (-78, -22, 48), (20, 34, 42), turn=-20),
    Blob("gland", (-14, 6, 4), (46, 9, 11), turn=-12),
    Blob("cortex", (56, -36, -18), (24, 21, 46), turn=25, mirror=True),
    Blob("medulla", (53, -35, -18), (13, 10, 32), turn=25, mirror=True),
    Blob("fat", (42, -30, -18), (10, 7, 14), mirror=True),
    Blob("blood", (-9, -17, 0), (9, 9, LONG)),
    Blob("blood", (15, -15, 0), (11, 8, LONG)),
)
CHIN = (
    Blob("skin", (0, 8, -78), (53, 68, 62), jitter=0.2),
    Blob("fat", (0, 8, -78), (51, 66, 60), jitter=0.1),
    Blob("muscle", (0, 7, -78), (46, 61, 55), jitter=0.1),
)
SKULL = (
    Blob("skin", (0, 0, 0), (68, 86, 84), jitter=0.1),
    Blob("fat", (0, 0, 0), (66.5, 84.5, 82.5), jitter=0.1),
    Blob("bone", (0, 0, 0), (63, 81, 79), jitter=0.05),
    Blob("marrow", (0, 0, 0), (60.5, 78.5, 76.5), jitter=0.05),
    Blob("bone", (0, 0, 0), (58.5, 76.5, 74.5), jitter=0.05),
)
DEEP = (
    Blob("grey", (13, -8, 4), (8, 13, 9), mirror=True),
    Blob("grey", (22, 8, 5), (6, 14, 9), turn=-15, mirror=True),
    Blob("grey", (11, 22, 9), (4, 9, 8), mirror=True),
    Blob("fluid", (8, 20, 14), (4, 17, 7), turn=-14, mirror=True),
    Blob("fluid", (13, -22, 14), (5, 24, 8), turn=14, mirror=True),
    Blob("fluid", (24, -30, -6), (4, 16, 8), turn=15, mirror=True),
    Blob("fluid", (0, -4, 2), (2, 11, 9)),
    Blob("grey", (22, -44, -46), (24, 20, 17), mirror=True, jitter=0.4),
    Blob("white", (16, -42, -46), (13, 11, 8), mirror=True, jitter=0.4),
    Blob("white", (0, -18, -46), (12, 12, 34)),
    Blob("fluid", (0, -32, -44), (6, 4, 9)),
)
FACE = (
    Blob("fat", (30, 64, -30), (18, 18, 16), mirror=True, jitter=0.4, inside=("bone", "marrow", "muscle", "fat")),
    Blob("fluid", (30, 70, -30), (12, 12, 12), mirror=True, jitter=0.4),
    Blob("gland", (30, 80, -30), (4, 2.5, 4), mirror=True, jitter=0.4),
    Blob("air", (22, 56, -58), (13, 15, 14), mirror=True),
    Blob("air", (6, 62, -56), (4, 20, 18), mirror=True),
    Blob("air", (9, 80, 4), (8, 4, 9), mirror=True, inside=("bone", "marrow")),
    Blob("marrow", (50, -14, -50), (12, 16, 14), mirror=True, inside=("bone", "muscle", "fat")),
)
SHOULDERS = (
    Blob("skin", (0, -14, -140), (50, 53, LONG)),
    Blob("fat", (0, -14, -140), (48.5, 51.5, LONG), jitter=0.1),
    Blob("muscle", (0, -14, -140), (43, 46, LONG), jitter=0.1),
    Blob("skin", (0, -14, -240), (150, 62, 70)),
    Blob("fat", (0, -14, -240), (147, 59, 67), jitter=0.2),
    Blob("muscle", (0, -16, -240), (132, 46, 54), jitter=0.2),
)
NECK = (
    Blob("muscle", (0, 40, -98), (40, 36, 30)),
    Blob("gland", (48, 6, -80), (12, 17, 20), mirror=True),
    Blob("gland", (30, 30, -118), (9, 13, 9), mirror=True),
    Blob("muscle", (0, 44, -92), (23, 27, 22)),
    Blob("air", (0, 14, -92), (11, 5, 34)),
    Blob("disc", (0, 22, -142), (17, 15, 14)),
    Blob("air", (0, 18, -160), (8, 8, 60)),
    Blob("gland", (15, 18, -170), (9, 11, 20), mirror=True),
    Blob("blood", (27, 6, -135), (5, 5, LONG), mirror=True, inside=("muscle", "fat")),
    Blob("blood", (36, 3, -135), (7, 6, LONG), mirror=True, inside=("muscle", "fat")),
    Blob("lung", (52, -6, -232), (38, 42, 42), mirror=True),
)


def _spine(canvas: Canvas, y: float, *, size: float, pitch: float, below: float = LONG) -> None:
    """Vertebrae at depth `y`: bodies, a disc every `pitch` mm, a canal with its cord, spines and arches."""
    z = canvas.grid.z
    level = np.cos(2 * np.pi * z / np.float32(pitch))
    here = z < below
    for tissue, blob in (
        ("bone", Blob("bone", (0, y, 0), (size, size * 0.8, LONG))),
        ("marrow", Blob("marrow", (0, y, 0), (size * 0.86, size * 0.66, LONG))),
    ):
        canvas.paint(tissue, (canvas.squared(blob) < 1 + 0.15 * level) & here)
    canvas.paint(
        "disc", (canvas.squared(Blob("disc", (0, y, 0), (size, size * 0.8, LONG))) < 0.85) & here & (level < -0.82)
    )
    back = y - size * 1.25
    process = canvas.squared(Blob("bone", (0, back - size * 0.35, 0), (size * 0.25, size * 0.8, LONG)))
    wings = canvas.squared(Blob("bone", (0, back, 0), (size * 1.7, size * 0.22, LONG)))
    ring = canvas.squared(Blob("bone", (0, back, 0), (size * 0.72, size * 0.66, LONG)))
    canvas.paint("bone", ((process < 1) | (wings < 1)) & (level > 0.1) & here)
    canvas.paint("bone", (ring < 1) & (level > -0.5) & here)
    canvas.paint("fluid", (ring < 0.5) & here)
    canvas.paint("white", (ring < 0.16) & here)


def _ribs(canvas: Canvas) -> None:
    """Slanted hoops of bone in the wall of the trunk, above the lowest rib."""
    y, z = canvas.grid.y, canvas.grid.z
    hoop = np.cos(2 * np.pi * (z + 0.45 * y) / np.float32(27)) + 0.0 * canvas.warp
    wall = canvas.squared(TRUNK[2])
    shell = (wall > 0.76 - canvas.warp / 2) & (wall < 0.97 + canvas.warp / 2) & (z > -30 - 0.3 * y)
    canvas.paint("bone", shell & (hoop > 0.62))
    canvas.paint("marrow", shell & (hoop > 0.86) & (wall < 0.92) & (wall > 0.81))


def torso(canvas: Canvas) -> None:
    """The trunk from the heart to the iliac crest: wall, ribs, spine, organs, bowel, 0 to 4 liver lesions."""
    canvas.draw(*TRUNK)
    _ribs(canvas)
    for _ in range(34):
        x, y, z = canvas.rng.uniform((-85, -5, -135), (85, 58, -12))
        radii = canvas.rng.uniform(12, 23, 3)
        bowel = Blob("gut", (x, y, z), (radii[0], radii[1], radii[2]), inside=("fat",))
        gas = Blob("air", (x, y + 6, z), (radii[0] * 0.6, 6, radii[2] * 0.6), inside=("gut",))
        canvas.draw(bowel, *([gas] if canvas.rng.random() < 0.5 else []))
    canvas.draw(*ORGANS)
    canvas.vessels("muscle", "fat", thickness=0.16)
    canvas.vessels("blood", "liver", "spleen", thickness=0.2)
    canvas.vessels("blood", "lung", thickness=0.3)
    _spine(canvas, -42, size=19, pitch=30)
    for _ in range(canvas.rng.integers(0, 5)):
        x, y, z = canvas.rng.uniform((20, -25, 10), (85, 40, 80))
        canvas.draw(Blob("lesion", (x, y, z), (9, 9, 9), jitter=3, inside=("liver",)))


def _brain(canvas: Canvas) -> None:
    """Cortex along the surface and along the walls of sulci, which are the zero sheets of a random field."""
    outline = canvas.squared(Blob("grey", (0, 0, 1), (56.5, 74.5, 72.5))) - 0.4 * canvas.warp
    radius = np.sqrt(np.maximum(outline, 0))
    skull, depth = radius < 1, (1 - radius) * 64  # depth in mm below the dura
    sulcus = np.abs(waves(canvas.grid, canvas.rng, wavelength=23, count=12))
    sulcus = sulcus + np.clip(depth - 17, 0, None) * 0.11  # sulci close 17 mm down
    fissure = np.abs(canvas.grid.x + 6 * canvas.warp) + np.clip(depth - 24, 0, None) * 0.3
    canvas.paint("fluid", skull)
    canvas.paint("grey", skull & (depth > 2) & (sulcus > 0.13) & (fissure > 1.3))
    canvas.paint("white", skull & (depth > 5.5) & (sulcus > 0.62) & (fissure > 4.5))


def head(canvas: Canvas) -> None:
    """Skin, skull, folded brain, ventricles, deep nuclei, cerebellum, eyes, sinuses, 0 to 3 lesions."""
    canvas.draw(*CHIN, *SKULL)
    _brain(canvas)
    base = (canvas.squared(Blob("muscle", (0, 0, -30), (60, 78, 28))) > 1) & (canvas.grid.z < -40)
    canvas.paint("muscle", base & canvas.inside("grey", "white", "fluid"))
    canvas.draw(*DEEP, *FACE)
    for _ in range(canvas.rng.integers(0, 4)):
        x, y, z = canvas.rng.uniform((-40, -50, -10), (40, 50, 45))
        canvas.draw(Blob("lesion", (x, y, z), (6, 6, 6), jitter=5, inside=("white", "grey")))


def head_neck(canvas: Canvas) -> None:
    """The head above a neck on shoulders: jaw, teeth, airway, glands, vessels, a tumour and its nodes."""
    canvas.draw(*SHOULDERS)
    head(canvas)
    canvas.draw(*NECK)
    _jaw(canvas)
    _spine(canvas, -26, size=12, pitch=17, below=-66)
    x, y, z = canvas.rng.uniform((-22, 10, -125), (22, 40, -85))
    canvas.draw(Blob("lesion", (x, y, z), (13, 11, 13), jitter=2, inside=("muscle", "fat", "air", "gland")))
    for _ in range(canvas.rng.integers(1, 5)):
        node = (canvas.rng.choice((-36.0, 36.0)), 0.0, canvas.rng.uniform(-165, -95))
        canvas.draw(Blob("lesion", node, (7, 7, 9), jitter=3, inside=("muscle", "fat", "blood")))


def _jaw(canvas: Canvas) -> None:
    """Two horseshoes open to the back, mandible and maxilla, with rising branches and teeth along them."""
    x, y, z = canvas.grid[:3]
    arch = canvas.squared(Blob("bone", (0, 22, 0), (35, 37, LONG)))
    for center, half in ((-112, 11), (-78, 7)):
        level = np.abs(z - np.float32(center))
        canvas.paint("bone", (arch < 1.0) & (arch > 0.62) & (y > 18) & (level < half))
        canvas.paint("marrow", (arch < 0.9) & (arch > 0.72) & (y > 18) & (level < half - 3))
    branch = (np.abs(np.abs(x) - 41) < 4) & (np.abs(y - 14) < 12) & (np.abs(z + 82) < 30)
    canvas.paint("bone", branch & canvas.inside("muscle", "fat"))
    gaps = np.cos(np.arctan2(x, y - 20) * 22) > -0.5
    canvas.paint("tooth", (arch < 0.95) & (arch > 0.7) & (y > 30) & gaps & (np.abs(z + 92) < 9))


BODIES: dict[str, Callable[[Canvas], None]] = {"torso": torso, "head": head, "head-neck": head_neck}
