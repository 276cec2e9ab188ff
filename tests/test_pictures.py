"""Planes as PNG, read back with Pillow."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from mixio.inspection.pictures import COLORS, EDGE, colors_of, draw
from mixio.inspection.slices import Slice


def plane_of(image: np.ndarray, *, box: tuple[int, int, int, int] | None = None, **changes: object) -> Slice:
    rows, columns = image.shape
    given = {"labels": {}, "size_mm": (columns, rows), "sides": ("R", "L"), **changes}
    return Slice("axial", 0, 1, image.astype(np.float32), image == 0, box=box, **given)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)


def where(png: bytes, color: str) -> tuple[int, int, int, int]:
    rgb = [int(color[place : place + 2], 16) for place in (1, 3, 5)]
    rows, columns = np.nonzero((pixels(png) == rgb).all(-1))
    return rows.min(), rows.max(), columns.min(), columns.max()


@pytest.mark.parametrize(("size_mm", "expected"), [((100, 50), (EDGE, EDGE // 2)), ((30, 90), (EDGE // 3, EDGE))])
def test_the_picture_has_the_proportions_of_the_body(size_mm: tuple[int, int], expected: tuple[int, int]) -> None:
    picture = draw(plane_of(np.ones((7, 5)), size_mm=size_mm), (0, 1), {})
    assert (picture.width, picture.height) == expected == Image.open(BytesIO(picture.png)).size


def test_planes_of_one_extent_have_one_scale() -> None:
    picture = draw(plane_of(np.ones((4, 4)), size_mm=(50, 20)), (0, 1), {}, extent_mm=100)
    assert (picture.width, picture.height) == (EDGE // 2, EDGE // 5)


def test_the_ends_of_the_window_are_black_and_white_and_its_middle_is_between() -> None:
    image = np.repeat([[-2000, -1000, 0, 1000, 2000]], 5, axis=0)
    row = pixels(draw(plane_of(image), (-1000, 1000), {}).png)[10, :, 0]
    columns = [EDGE * (2 * place + 1) // 10 for place in range(5)]
    assert [row[column] for column in columns] == pytest.approx([0, 0, 127.5, 255, 255], abs=1.6)  # of 216 grays


def test_a_window_of_no_width_is_black() -> None:
    assert pixels(draw(plane_of(np.full((8, 8), 5.0)), (3, 3), {}).png)[10].max() == 0


def test_a_label_is_outlined_where_it_is_and_not_filled() -> None:
    labels = np.zeros((24, 24), int)
    labels[6:12, 12:18] = 2
    picture = draw(plane_of(labels * 0, labels={"organ": labels}), (0, 1), {("organ", 2): 0})
    assert where(picture.png, COLORS[0]) == (60, 119, 120, 179)  # ten pixels a voxel
    assert pixels(picture.png)[90, 150].tolist() == [0, 0, 0]


def test_neighboring_labels_have_their_own_colors() -> None:
    labels = np.repeat([[1, 1, 2, 2]], 4, axis=0)
    plane = plane_of(labels * 0, labels={"organ": labels})
    colors = colors_of([plane])
    assert colors == {("organ", 1): 0, ("organ", 2): 1}
    png = draw(plane, (0, 1), colors).png
    assert [where(png, COLORS[color])[2:] for color in (0, 1)] == [(119, 119), (120, 120)]


def test_the_box_is_dashed_around_its_voxels() -> None:
    png = draw(plane_of(np.full((24, 24), 0.5), box=(2, 4, 20, 22)), (0, 1), {}).png
    top = pixels(png)[40, 20:200]
    assert set(map(tuple, top)) == {(0, 0, 0), (255, 255, 255)}
    assert set(map(tuple, pixels(png)[219, 20:200])) == {(0, 0, 0), (255, 255, 255)}
    for row in (39, 220):
        assert pixels(png)[row, 20:200].tolist() == [[128, 128, 128]] * 180


def test_a_box_thinner_than_a_pixel_is_still_drawn() -> None:
    plane = plane_of(np.ones((4, 9)), size_mm=(240, 1), box=(8, 3, 9, 4))
    assert draw(plane, (0, 1), {}).height == 1
    turned = plane_of(np.ones((9, 4)), size_mm=(1, 240), box=(3, 8, 4, 9))
    assert draw(turned, (0, 1), {}).width == 1


def test_the_sides_are_written() -> None:
    png = draw(plane_of(np.zeros((24, 24))), (0, 1), {}).png
    white = (pixels(png) == 255).all(-1)
    assert white[100:140, :20].any()
    assert white[100:140, -20:].any()
    assert not white[100:140, 30:-30].any()


def test_the_same_plane_gives_the_same_bytes() -> None:
    first, second = (draw(plane_of(np.arange(64).reshape(8, 8)), (0, 64), {}).png for _ in range(2))
    assert first == second
