"""How the kernels of kinds are compiled: as parts of those in `state.vector.kernels`.

They are not cached by themselves: numba looks at the file of the outermost kernel only, so a cached
part would stay what it was when a part of that part changes.
"""

import numba

part = numba.njit(nogil=True, error_model="numpy")
whole = numba.njit(nogil=True, cache=True, error_model="numpy")
"""A kernel that is called from Python and calls none of another file."""
