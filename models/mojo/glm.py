"""GLM: the coefficients of a MOJO, and the kernels that sum them."""

import numpy as np
import numpy.typing as npt

from models.mojo.archive import Archive, MojoError
from models.mojo.link import LINKS, compiled, inverse

_CATEGORY = {
    "binomial": "Binomial",
    **dict.fromkeys(("gaussian", "poisson", "gamma", "tweedie", "negativebinomial"), "Regression"),
}

# The only links of H2O; others would not keep P(second level) between 0 and 1.
_LINKS = {"Binomial": {"logit"}, "Regression": {"identity", "log"}}

GlmArgs = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64], int, int]
"""The arguments of `score_glm` after the row."""


def read_glm(archive: Archive, category: str) -> GlmArgs:
    """Read the arguments of `score_glm`.

    Args:
        archive: The MOJO.
        category: "Binomial" or "Regression".

    Returns:
        Factors, means of the numeric columns, coefficients, number of levels without one, and link.

    Raises:
        MojoError: The model is malformed, or its family or link is not supported.
    """
    family, link = archive.text("family"), archive.text("link")
    if _CATEGORY.get(family) != category or link not in _LINKS[category]:
        msg = (
            f"family must be one of {', '.join(_CATEGORY)} and link one of {', '.join(LINKS)}; "
            f"got {category} {family[:40]!r} with {link[:40]!r} in model.ini"
        )
        raise MojoError(msg)
    if not archive.flag("mean_imputation"):
        msg = "mean_imputation must be true; got a model that skips rows with NA"
        raise MojoError(msg)
    skipped = 0 if archive.flag("use_all_factor_levels") else 1
    means, beta = np.array(archive.numbers("num_means")), np.array(archive.numbers("beta"))
    factors = _factors(archive, archive.whole("cats"), skipped)
    n_levels = factors[-1, 2] if factors.size else 0
    if (len(factors), means.size) != (archive.whole("cats"), archive.whole("nums")):
        msg = f"num_means must be one per number; got {means.size} in model.ini"
        raise MojoError(msg)
    if len(factors) + means.size != len(archive.columns) - 1:
        msg = f"columns must be cats and nums; got {len(archive.columns)} in model.ini"
        raise MojoError(msg)
    if any(archive.domains[len(factors) : -1]):
        msg = "columns must be categorical first; got a later one in model.ini"
        raise MojoError(msg)
    if beta.size != n_levels + means.size + 1:
        msg = f"beta must be {n_levels + means.size + 1} long; got {beta.size}"
        raise MojoError(msg)
    return factors, means, beta, skipped, LINKS[link]


def _factors(archive: Archive, n: int, skipped: int) -> npt.NDArray[np.int64]:
    offsets, modes = archive.numbers("cat_offsets"), archive.numbers("cat_modes")
    levels = [len(domain or ()) for domain in archive.domains[:n]]
    if offsets[:1] != (0.0,) or not len(offsets) - 1 == len(modes) == len(levels) == n:
        msg = f"cat_offsets and cat_modes must be of {n} columns in model.ini; got others"
        raise MojoError(msg)
    for i, (size, mode) in enumerate(zip(levels, modes, strict=True)):
        if offsets[i + 1] - offsets[i] != size - skipped or mode not in range(size):
            msg = f"cat_offsets and cat_modes must suit the {size} levels of column {i}"
            raise MojoError(msg)
    return np.array([levels, modes, offsets[1:]], np.int64).T.copy()


@compiled
def score_glm(row, factors, means, beta, skipped, link):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Score one row.

    Args:
        row: float64[n_columns]; categorical columns first, as codes; NaN for a missing value.
        factors: int64[n, 3]: number of levels, mode, and end of the factor's coefficients.
        means: float64[m]: replacements of missing numbers.
        beta: float64: coefficients of the levels, of the numbers, and the intercept.
        skipped: Number of first levels of a factor without a coefficient: 0 or 1.
        link: A code of `models.mojo.link`.

    Returns:
        P(second level), or the value of a regression.
    """
    total = 0.0
    begin = 0
    for i in range(factors.shape[0]):
        levels, mode, end = factors[i]
        code = np.int64(row[i]) if 0 <= row[i] < levels else mode
        if code >= skipped:
            total += beta[begin + code - skipped]
        begin = end
    for i in range(means.size):
        value = row[factors.shape[0] + i]
        total += beta[begin + i] * (means[i] if np.isnan(value) else value)
    return inverse(link, total + beta[-1])


@compiled
def score_glm_many(rows, factors, means, beta, skipped, link):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Score rows, float64[n, n_columns]; other arguments as in `score_glm`."""
    out = np.empty(rows.shape[0])
    for i in range(rows.shape[0]):
        out[i] = score_glm(rows[i], factors, means, beta, skipped, link)
    return out
