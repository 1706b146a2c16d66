"""What time does to rows: it halves weights, the same to the last bit on every processor, and it
ends them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numba as nb
import numpy as np

from freshet.features.compiled_kernels import inlined
from freshet.features.rows.layout import OVER

ROOTS = np.array([float(Decimal(2) ** (Decimal(-j) / 64)) for j in range(64)])
POWERS = np.ldexp(1.0, -np.arange(1024))
LN_2 = float(Decimal(2).ln())


@nb.njit(inline="always", nogil=True, cache=True, error_model="numpy")
def halved(elapsed: Any, half_life: Any) -> Any:
    """`2 ** (-elapsed / half_life)` for `elapsed >= 0`, within 1e-15; 0.0 from 1,000 half-lives on.

    Made of multiplications and additions only: libm's exp2 may differ between processors in the
    last bit, and rows must not. Table of 2^(-j/64) and Taylor's series for the rest, as in Tang
    (1989).
    """
    sixty_fourths = elapsed / half_life * 64.0
    if sixty_fourths >= 64000.0:
        return 0.0
    nearest = np.int64(sixty_fourths + 0.5)
    # Names and the order of the sum as in Tang: another order has other last bits.
    u = (nearest - sixty_fourths) * (LN_2 / 64.0)
    v = u * u
    rest = (1.0 + u) + v * ((0.5 + u * (1.0 / 6.0)) + v * (1.0 / 24.0 + u * (1.0 / 120.0)))
    return POWERS[nearest >> 6] * (ROOTS[nearest & 63] * rest)


@inlined
def is_over(newest: Any, time: Any, most: Any) -> Any:
    """Whether a time is further than `most` ahead of a row's newest event. Asked only of times that
    are ahead of one: before all times there is NEVER, from where the difference has no int64."""
    return newest > OVER and time > newest and time - newest > most
