"""The built-in toy set: three overlapping clouds, made of integers, the same bytes on every machine."""

from __future__ import annotations

__all__ = ["toy_text"]

_TRAIN, _TEST = 20, 10  # rows of each class
# centres in steps of 1/100: two telling features, one weaker, one of noise only
_CENTRES = {0: (30, 30, 45, 50), 1: (70, 35, 50, 50), 2: (48, 72, 55, 50)}
_SPREAD = (18, 18, 24, 30)


def toy_text() -> tuple[bytes, bytes]:
    """Return the training and the test file as LIBSVM text (4 features, classes 0–2, 60 and 30 rows).

    The noise is the mean of two draws of a 32-bit linear congruential generator, in integers throughout, so
    that the bytes depend on no library, platform or version.
    """
    state = 20_200_601
    lines: list[str] = []
    for _ in range(_TRAIN + _TEST):
        for label, centre in _CENTRES.items():
            values = []
            for middle, spread in zip(centre, _SPREAD, strict=True):
                noise = 0
                for _ in range(2):
                    state = (1_664_525 * state + 1_013_904_223) % 2**32
                    noise += (state >> 16) % (2 * spread + 1) - spread
                values.append(middle + noise // 2)
            lines.append(" ".join([str(label), *(f"{k}:{v}" for k, v in enumerate(values, 1))]))
    cut = _TRAIN * len(_CENTRES)
    train, test = (("\n".join(part) + "\n").encode("ascii") for part in (lines[:cut], lines[cut:]))
    return train, test
