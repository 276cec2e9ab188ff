"""The page's colors and policy."""

import re

import pytest

from mixio.inspection.style import CSS, POLICY


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    levels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
    return sum(share * v for share, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", [0, 1])
@pytest.mark.parametrize("ink", ["ink", "soft", "accent", "mark"])
@pytest.mark.parametrize("ground", ["paper", "card", "warn"])
def test_text_has_the_contrast_that_wcag_asks_for(scheme: int, ink: str, ground: str) -> None:
    colors = [dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in CSS.split("@media")[:2]][scheme]
    dark, light = sorted((luminance(colors[ink]), luminance(colors[ground])))
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_nothing_can_be_loaded_and_nothing_is_asked_for() -> None:
    assert POLICY.startswith("default-src 'none'; img-src data:;")
    assert "url(" not in CSS
    assert "@import" not in CSS
