"""Small shifts, turns and changes of size of images: 1-NN on pixels knows of them only what its points show."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["shifted", "turned"]


def shifted(x: Tensor, offsets: Tensor, image_shape: tuple[int, int], max_shift: int) -> Tensor:
    """Each image moved by whole pixels; what comes in at an edge is 0.

    Parameters
    ----------
    x : Tensor of shape (B, H W c)
        Images row by row, channels last.
    offsets : Tensor of shape (B, 2) of int64
        0 … 2 ``max_shift``: down and right by the offset less ``max_shift``.
    image_shape : pair of int
        H and W.
    max_shift : int
        In pixels.

    Returns
    -------
    Tensor of shape (B, H W c)
    """
    height, width = image_shape
    images = x.reshape(x.shape[0], height, width, -1)
    edge = (max_shift, max_shift)
    padded = torch.nn.functional.pad(images, (0, 0, *edge, *edge)).reshape(x.shape[0], -1, images.shape[3])
    line = width + 2 * max_shift
    rows, columns = (torch.arange(size, device=x.device) for size in (height, width))
    places = (rows[:, None] * line + columns[None]).reshape(1, -1)
    first = (2 * max_shift - offsets[:, :1]) * line + (2 * max_shift - offsets[:, 1:])
    taken = (places + first)[:, :, None].expand(-1, -1, images.shape[3])
    return padded.gather(1, taken).reshape(x.shape)


def turned(x: Tensor, angles: Tensor, zooms: Tensor, image_shape: tuple[int, int]) -> Tensor:
    """Each image turned about its middle and made larger or smaller, by linear interpolation; 0 comes in at the edges.

    Parameters
    ----------
    x : Tensor of shape (B, H W c)
        Images row by row, channels last.
    angles : Tensor of shape (B,)
        Anticlockwise, in radians.
    zooms : Tensor of shape (B,)
        Factors: 1 leaves the size, more makes the image larger.
    image_shape : pair of int
        H and W.

    Returns
    -------
    Tensor of shape (B, H W c)
    """
    height, width = image_shape
    images = x.reshape(x.shape[0], height, width, -1).permute(0, 3, 1, 2)
    cos, sin, zero = angles.cos() / zooms, angles.sin() / zooms, torch.zeros_like(angles)
    # from places in the result to places in the image, each side being 2 long
    rows = [
        torch.stack([cos, -sin * (height / width), zero], dim=1),
        torch.stack([sin * (width / height), cos, zero], dim=1),
    ]
    grid = torch.nn.functional.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    found = torch.nn.functional.grid_sample(images, grid, align_corners=False)
    return found.permute(0, 2, 3, 1).reshape(x.shape)
