"""GBM and DRF: all trees of a MOJO as one flat array of nodes, and the kernels that walk it.

A node's left child is the next node and its right child lies further on, so every walk ends.
Numba reads a signed index from both ends and turns `if` into a jump, hence unsigned arithmetic.
"""

import numpy as np
import numpy.typing as npt

from models.mojo_archive import Archive, MojoError
from models.mojo_link import COMPLEMENT, IDENTITY, LINKS, compiled, inverse
from models.mojo_tree_bytes import MAX_WORDS, NODE, parse_tree

_CATEGORY = {
    "bernoulli": "Binomial",
    **dict.fromkeys(
        ("gaussian", "poisson", "gamma", "tweedie", "laplace", "quantile", "huber"), "Regression"
    ),
}
_u = np.uint64

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
"""What `score_trees` takes after the row."""


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


@compiled
def score_trees(row, nodes, roots, bits, init, divisor, link, weight_0, weight_1):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, PLR0917
    """The prediction for one row.

    Four trees are walked side by side and without branches: a step waits for memory and a branch
    on it is a coin toss, so this takes less than half the time of one tree after the other.

    Args:
        row: float64[n_columns]; categories as codes, NaN where there is none.
        nodes: NODE[n].
        roots: int32[n_trees], each tree's first node.
        bits: uint32[m], the pool of sets.
        init: What is added to the sum of the leaves.
        divisor: What that is divided by.
        link: A code of `models.mojo_link`.
        weight_0: Prior over model share of class 0; 1 where classes were not balanced.
        weight_1: The same of class 1.

    Returns:
        P(second level) or the value.
    """
    total = 0.0  # leaves are added in H2O's order: it is part of the result
    fours = roots.size - roots.size % 4
    for tree in range(0, fours, 4):
        a, b = _u(roots[tree]), _u(roots[tree + 1])
        c, d = _u(roots[tree + 2]), _u(roots[tree + 3])
        moved = True
        while moved:
            next_a, next_b = _step(row, nodes, bits, a), _step(row, nodes, bits, b)
            next_c, next_d = _step(row, nodes, bits, c), _step(row, nodes, bits, d)
            moved = (next_a != a) | (next_b != b) | (next_c != c) | (next_d != d)
            a, b, c, d = next_a, next_b, next_c, next_d
        total += nodes[a].value
        total += nodes[b].value
        total += nodes[c].value
        total += nodes[d].value
    for tree in range(fours, roots.size):
        at, below = _u(roots[tree]), _step(row, nodes, bits, _u(roots[tree]))
        while below != at:
            at, below = below, _step(row, nodes, bits, below)
        total += nodes[at].value
    prediction = inverse(link, (total + init) / divisor)
    if weight_0 == weight_1:
        return prediction
    positive = prediction * weight_1
    return positive / ((1.0 - prediction) * weight_0 + positive)


@compiled
def score_trees_many(rows, nodes, roots, bits, init, divisor, link, weight_0, weight_1):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, PLR0917
    """The predictions for float64[n, n_columns]; the other arguments as in `score_trees`."""
    out = np.empty(rows.shape[0])
    for i in range(rows.shape[0]):
        out[i] = score_trees(rows[i], nodes, roots, bits, init, divisor, link, weight_0, weight_1)
    return out


@compiled
def _step(row, nodes, bits, at):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    node = nodes[at]
    value = row[_u(node.column)]
    at_bits = _u(node.bits)
    positive = max(-1.0, value)  # NaN too
    code = np.int64(min(2000000000.0, positive)) - np.int64(bits[at_bits])
    known = _u(_u(code) < _u(bits[at_bits + _u(1)]))
    k = _u(code) & (_u(0) - known)
    bit = _u(bits[at_bits + _u(2) + (k >> _u(5))]) >> (k & _u(31))
    compared = _u(value >= node.value) | (_u(node.na_right) & _u(value != value))  # noqa: PLR0124
    right = (bit & known) | (compared & (known ^ _u(1)))
    return at + _u(node.split) + ((_u(0) - right) & _u(np.int64(node.stride)))
