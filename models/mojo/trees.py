"""GBM and DRF: all trees of a MOJO as one flat array of nodes."""

import numpy as np
import numpy.typing as npt

from models.mojo.archive import MAX_MEMORY, Archive, MojoError
from models.mojo.link import COMPLEMENT, IDENTITY, LINKS
from models.mojo.tree_bytes import MAX_WORDS, NODE, parse_tree

_CATEGORY = {
    "bernoulli": "Binomial",
    **dict.fromkeys(
        ("gaussian", "poisson", "gamma", "tweedie", "laplace", "quantile", "huber"), "Regression"
    ),
}
# The only pairs of H2O; others would not keep P(second level) between 0 and 1.
_LINK = {
    "bernoulli": "logit",
    **dict.fromkeys(("poisson", "gamma", "tweedie"), "log"),
    **dict.fromkeys(("gaussian", "laplace", "quantile", "huber"), "identity"),
}

_LEAST = 1e-12

TreeArgs = tuple[
    npt.NDArray[np.void],
    npt.NDArray[np.int32],
    npt.NDArray[np.uint32],
    float,
    float,
    int,
    float,
    float,
]
"""The arguments of `models.mojo.tree_kernels.score_trees` after the row."""


def read_trees(archive: Archive, algorithm: str, category: str) -> TreeArgs:
    """Read the arguments of `score_trees` for a GBM or DRF.

    Args:
        archive: The MOJO.
        algorithm: "gbm" or "drf".
        category: "Binomial" or "Regression".

    Returns:
        Nodes, roots, bits, init, divisor, link and the weights of the two classes.

    Raises:
        MojoError: A tree is malformed, or the kind of model is not supported.
    """
    for key, want in (("n_trees_per_class", "1"), ("_genmodel_encoding", "AUTO")):
        if archive.text(key) != want:
            msg = f"{key} must be {want}; got {archive.text(key)!r} in model.ini"
            raise MojoError(msg)
    archive.must_be(binomial_double_trees="false", _orig_projection_array="null")
    n_trees = archive.whole("n_trees")
    if algorithm == "gbm":
        init, divisor, link = archive.number("init_f"), 1.0, _gbm_link(archive, category)
    else:
        init, divisor = 0.0, float(max(n_trees, 1))
        link = COMPLEMENT if category == "Binomial" else IDENTITY
    grove = _grove(archive, n_trees)
    leaves = grove[0]["value"][grove[0]["split"] == 0]
    if link == COMPLEMENT and leaves.size and not (leaves.min() >= 0 and leaves.max() <= 1):
        msg = f"votes must lie between 0 and 1; got {leaves.min():g} to {leaves.max():g}"
        raise MojoError(msg)
    return *grove, init, divisor, link, *_class_weights(archive)


def _gbm_link(archive: Archive, category: str) -> int:
    distribution, link = archive.text("distribution"), archive.text("link_function")
    if _CATEGORY.get(distribution) != category or _LINK[distribution] != link:
        pairs = ", ".join(f"{one} with {its}" for one, its in _LINK.items())
        msg = (
            f"distribution and link must be one of {pairs}; "
            f"got {category} {distribution[:40]!r} with {link[:40]!r} in model.ini"
        )
        raise MojoError(msg)
    return LINKS[link]


def _grove(
    archive: Archive, n_trees: int
) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int32], npt.NDArray[np.uint32]]:
    names = [f"trees/t00_{tree:03d}.bin" for tree in range(min(n_trees, len(archive) + 1))]
    missing = next((name for name in names if name not in archive), None)
    if missing is not None:
        msg = f"archive must hold {missing}; got {len(archive)} other files"
        raise MojoError(msg)
    cardinalities = np.array([len(levels or ()) for levels in archive.domains[:-1]], np.int64)
    unpacked = [archive.unpacked(name) for name in names]
    # Reserved only: the system provides memory when it is written.
    most_nodes = sum(size // 4 + 1 for size in unpacked)
    nodes = np.zeros(min(most_nodes, MAX_MEMORY // NODE.itemsize + 1), NODE)
    bits = np.zeros(MAX_WORDS, np.uint32)
    roots = np.zeros(n_trees, np.int32)
    n_nodes = n_words = 0
    for tree, (name, size) in enumerate(zip(names, unpacked, strict=True)):
        roots[tree] = n_nodes
        # A tree is read with a stack beside it, and has at most one node per 4 bytes.
        taken = archive.size + n_nodes * NODE.itemsize + 8 * size + 4 * n_words
        room = bits[: max(0, min(MAX_WORDS, n_words + (MAX_MEMORY - taken) // 4))]
        if taken > MAX_MEMORY:
            msg = f"model must be loaded within {MAX_MEMORY >> 20} MiB; got more in {name}"
            raise MojoError(msg)
        try:
            grown = np.frombuffer(archive.member(name), np.uint8)
            n_nodes, n_words = parse_tree(grown, cardinalities, nodes, n_nodes, room, n_words)
        except MojoError as error:
            msg = f"{error} in {name}"
            raise MojoError(msg) from error
    nodes.resize(n_nodes, refcheck=False)
    bits.resize(n_words, refcheck=False)
    return nodes, roots, bits


def _class_weights(archive: Archive) -> tuple[float, float]:
    """Weights of the two classes, if H2O balanced them for the fit."""
    if not archive.flag("balance_classes"):
        return 1.0, 1.0
    prior, model = archive.numbers("prior_class_distrib"), archive.numbers("model_class_distrib")
    if len(prior) != 2 or len(model) != 2 or not all(_LEAST < x <= 1 for x in prior + model):
        msg = f"class shares must be two above 0; got {prior[:3]}, {model[:3]} in model.ini"
        raise MojoError(msg)
    return prior[0] / model[0], prior[1] / model[1]
