"""Compile kernels of kinds, as parts of those in `state.vector.kernels`.

They are not cached by themselves: numba checks only the file of the outermost kernel, so a cached
part would not be rebuilt when a function that it calls changes.
"""

import numba

part = numba.njit(nogil=True, error_model="numpy")
whole = numba.njit(nogil=True, cache=True, error_model="numpy")
"""Compile a kernel that is called from Python and calls no kernel of another file."""
