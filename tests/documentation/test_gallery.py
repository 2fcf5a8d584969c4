"""The gallery: what its pictures claim holds for what they are drawn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from docs import gallery
from docs.gallery import Gallery

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("gallery")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gallery") / "made"


@pytest.fixture(scope="module")
def drawn(folder: Path) -> Gallery:
    return gallery.main([str(folder)])


def test_every_picture_is_there_with_its_text(folder: Path, drawn: Gallery) -> None:
    text = (folder / "index.md").read_text(encoding="utf-8")
    assert [picture.name for picture in drawn.pictures] == ["boundaries", "digits", "certificate"]
    for picture in drawn.pictures:
        assert f"![{picture.alt}]({picture.name}.svg)" in text
        assert (folder / f"{picture.name}.svg").stat().st_size > 5000


def test_adversarial_images_are_misread_and_no_nearer_than_proved(drawn: Gallery) -> None:
    assert [(d.metric, d.label) for d in drawn.digits] == [
        (metric, digit) for metric in ("euclidean", "arml") for digit in gallery.DIGITS
    ]
    for d in drawn.digits:
        assert d.knn.predict(d.image[None])[0] == d.label
        assert d.knn.predict(d.adversarial[None])[0] == d.read_as != d.label
        assert 0 < d.certificate <= d.norm
        assert np.linalg.norm(d.adversarial - d.image) / 16 == pytest.approx(d.norm, rel=1e-9)
        assert d.adversarial.min() >= -1e-9 and d.adversarial.max() <= 16 + 1e-9


def test_numbers_in_the_captions_are_those_drawn(drawn: Gallery) -> None:
    alt = drawn.pictures[1].alt
    for d in drawn.digits:
        assert f"certified {d.certificate:.2f}, read as {d.read_as} at {d.norm:.2f}" in alt
    for b in drawn.balls:
        assert f"K = {b.knn.n_neighbors}: certified {b.certified:.3f}, exact {b.radius:.3f}" in drawn.pictures[2].alt


def test_balls_lie_in_the_region_of_their_point(drawn: Gallery) -> None:
    angles = np.linspace(0.0, 2.0 * np.pi, 2000)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for b in drawn.balls:
        assert 0 < b.certified <= b.radius
        for share in (0.3, 0.7, 1.0 - 1e-6):
            assert (b.knn.predict(b.x + share * b.radius * directions) == 0).all()


def test_the_exact_ball_touches_the_boundary_at_the_adversarial_point(drawn: Gallery) -> None:
    for b in drawn.balls:
        assert b.knn.predict(b.adversarial[None])[0] == 1
        assert np.linalg.norm(b.adversarial - b.x) == pytest.approx(b.radius, rel=1e-4)
        assert np.linalg.norm(b.adversarial - b.x) >= b.radius


def test_one_neighbour_is_certified_exactly_and_three_are_not(drawn: Gallery) -> None:
    one, three = drawn.balls
    assert one.certified == pytest.approx(one.radius, rel=1e-6)
    assert three.certified < 0.9 * three.radius
