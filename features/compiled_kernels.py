"""How kernels of rows are compiled."""

from __future__ import annotations

import numba as nb

# Kernels allocate nothing, and so need not count references: at every call, and of every array in a
# tuple, counting costs more than their work. `inlined` ones are called for each event or tile.
kernel = nb.njit(nogil=True, cache=True, error_model="numpy", _nrt=False)
inlined = nb.njit(inline="always", nogil=True, cache=True, error_model="numpy", _nrt=False)
