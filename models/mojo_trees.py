"""GBM and DRF: all trees of a MOJO as one flat array of nodes."""

import numpy as np
import numpy.typing as npt

from models.mojo_archive import Archive, MojoError
from models.mojo_link import COMPLEMENT, IDENTITY, LINKS
from models.mojo_tree_bytes import MAX_WORDS, NODE, parse_tree

_CATEGORY = {
    "bernoulli": "Binomial",
    **dict.fromkeys(
        ("gaussian", "poisson", "gamma", "tweedie", "laplace", "quantile", "huber"), "Regression"
    ),
}

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
"""What `models.mojo_tree_kernels.score_trees` takes after the row."""


def read_trees(archive: Archive, algorithm: str, category: str) -> TreeArgs:
    """The arguments of `score_trees` for a GBM or DRF.

    Args:
        archive: The MOJO.
        algorithm: "gbm" or "drf".
        category: "Binomial" or "Regression".

    Returns:
        Nodes, roots, bits, init, divisor, link and the weights of the two classes.

    Raises:
        MojoError: A tree is malformed or the model is of a kind that is not scored here.
    """
    for key, want in (("n_trees_per_class", "1"), ("_genmodel_encoding", "AUTO")):
        if archive.text(key) != want:
            msg = f"{key} must be {want}; got {archive.text(key)!r} in model.ini"
            raise MojoError(msg)
    n_trees = archive.whole("n_trees")
    if algorithm == "gbm":
        init, divisor, link = archive.number("init_f"), 1.0, _gbm_link(archive, category)
    else:
        init, divisor = 0.0, float(max(n_trees, 1))
        link = COMPLEMENT if category == "Binomial" else IDENTITY
    return *_grove(archive, n_trees), init, divisor, link, *_class_weights(archive)


def _gbm_link(archive: Archive, category: str) -> int:
    distribution, link = archive.text("distribution"), archive.text("link_function")
    if _CATEGORY.get(distribution) != category or link not in LINKS:
        msg = (
            f"distribution must be one of {', '.join(_CATEGORY)} and link one of "
            f"{', '.join(LINKS)}; got {category} {distribution!r} with {link!r} in model.ini"
        )
        raise MojoError(msg)
    return LINKS[link]


def _grove(
    archive: Archive, n_trees: int
) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int32], npt.NDArray[np.uint32]]:
    cardinalities = np.array([len(levels or ()) for levels in archive.domains[:-1]], np.int64)
    nodes, bits = [np.zeros(0, NODE)], [np.zeros(0, np.uint32)]
    roots = np.zeros(n_trees, np.int32)
    n_nodes = n_words = 0
    for tree in range(n_trees):
        name = f"trees/t00_{tree:03d}.bin"
        try:
            grown = parse_tree(np.frombuffer(archive.member(name), np.uint8), cardinalities)
        except MojoError as error:
            msg = f"{error} in {name}"
            raise MojoError(msg) from error
        roots[tree] = n_nodes
        grown[0]["bits"] += n_words
        n_nodes += grown[0].size
        n_words += grown[1].size
        if n_words > MAX_WORDS:
            msg = f"sets of all trees must fit {4 * MAX_WORDS} bytes; got more in {name}"
            raise MojoError(msg)
        nodes.append(grown[0])
        bits.append(grown[1])
    return np.concatenate(nodes), roots, np.concatenate(bits)


def _class_weights(archive: Archive) -> tuple[float, float]:
    """What H2O multiplies the classes with when it had balanced them for the fit."""
    if archive.text("balance_classes") != "true":
        return 1.0, 1.0
    prior, model = archive.numbers("prior_class_distrib"), archive.numbers("model_class_distrib")
    if len(prior) != 2 or len(model) != 2 or min(prior + model) <= 0:
        msg = f"class shares must be two above 0; got {prior}, {model} in model.ini"
        raise MojoError(msg)
    return prior[0] / model[0], prior[1] / model[1]
