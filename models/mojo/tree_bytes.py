"""Convert one tree of a MOJO from H2O's bytes to flat nodes.

The bytes are the tree's preorder walk. An accepted tree has no cycle, no node beyond its end, no
column beyond the row and no code without its bit; anything else raises a MojoError.
"""

import numpy as np

from models.mojo.archive import MojoError
from models.mojo.link import compiled

NODE = np.dtype(
    [
        ("value", "<f4"),  # value of the leaf, or threshold of a numeric split
        ("stride", "<i4"),  # from the left child to the right child; 0 at a leaf
        ("bits", "<u4"),  # start of the set
        ("column", "<u2"),
        ("na_right", "u1"),
        ("split", "u1"),  # from the node to its left child: 1, or 0 at a leaf
    ]
)
"""Four nodes fill a cache line. A set is its lowest code, its number of codes, and one bit for each
code, which is 1 if that code goes right. Every node has a set, which is empty for a numeric column;
a code outside the set is compared with `value`, so that both kinds of split take the same steps."""

MAX_WORDS = 1 << 26

_BARE_LEAF = 65535
_NA_VS_REST, _MAX_DIRECTION = 1, 5
_SPLIT_MASK, _BY_NUMBER, _EQUALITY, _BY_SET_OF_32 = 12, 0, 4, 8
_LEFT_MASK, _LEFT_IS_LEAF, _RIGHT_IS_LEAF = 51, 48, 0x40

# Compiled code can raise only constants.
_LENGTH = "left subtree must have the stated length; got another length"
_REST = "tree must end where its bytes end; got bytes after it"
_COLUMN = "column must be one of the model's; got a higher number"
_DIRECTION = "direction of NA must be 1 to 5; got another"
_SPLIT = "split must suit its column; got an equality or a set of numbers"
_FINITE = "leaves must be finite numbers and splits numbers; got another"
_SHORT = "tree must be complete; got its end within a node"
_LEFT = "left child must be a leaf or a subtree; got neither"
_SETS = "sets of all trees must fit 256 MiB, and the model 448 MiB; got more"


@compiled
def parse_tree(tree, cardinalities, nodes, n, bits, used):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Append one tree: its nodes in preorder, and the sets that they point to.

    Args:
        tree: uint8[size]: the tree as H2O wrote it.
        cardinalities: int64[columns]: number of levels; 0 for a numeric column.
        nodes: NODE array, zero from `n` on; with room for a node per 4 bytes of the tree.
        n: Number of nodes so far.
        bits: uint32 array, zero from `used` on: the pool of sets.
        used: Number of used words of the pool.

    Returns:
        `n` and `used`, including this tree.

    Raises:
        MojoError: The bytes are not a valid tree, or its sets exceed the pool.
    """
    base = used
    used = _room(bits, used, 3)  # the pool of a tree begins with the empty set
    # Nodes left to read: parent of a right child or -1, required position or -1, 1 for a bare leaf.
    stack = np.empty((tree.size // 4 + 3, 3), np.int64)
    stack[0] = (-1, -1, 0)
    depth, at = 1, 0
    while depth > 0:
        depth -= 1
        parent, begin, is_leaf = stack[depth]
        if begin >= 0 and begin != at:
            raise MojoError(_LENGTH)
        if parent >= 0:
            nodes[parent].stride = n - parent - 1
        column = _BARE_LEAF
        if not is_leaf:
            kind, column = _uint(tree, at, 1), _uint(tree, at + 1, 2)
            at += 3
        nodes[n].bits = base
        if column == _BARE_LEAF:
            nodes[n].value = _float(tree, at)
            if not np.isfinite(nodes[n].value):
                raise MojoError(_FINITE)
            at += 4
        else:
            at, used = _split(tree, at, kind, column, cardinalities, nodes[n], bits, used)
            at, begin, is_leaf = _left(tree, at, kind)
            stack[depth] = (n, begin, kind & _RIGHT_IS_LEAF)
            stack[depth + 1] = (-1, -1, is_leaf)
            depth += 2
        n += 1
    if at != tree.size:
        raise MojoError(_REST)
    return n, used


@compiled
def _split(tree, at, kind, column, cardinalities, node, bits, used):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    if column >= cardinalities.size:
        raise MojoError(_COLUMN)
    direction, split = _uint(tree, at, 1), kind & _SPLIT_MASK
    at += 1
    if not 1 <= direction <= _MAX_DIRECTION:
        raise MojoError(_DIRECTION)
    by_set = split != _BY_NUMBER
    na_vs_rest = direction == _NA_VS_REST
    if split == _EQUALITY or (by_set and (na_vs_rest or cardinalities[column] == 0)):
        raise MojoError(_SPLIT)
    na_right = direction & 1  # 1 NA against the rest, 2 NA left, 3 NA right, 4 left, 5 right
    node.column, node.na_right, node.split = column, na_right, 1
    # The threshold is NaN if only missing values go right: no value compares as greater.
    threshold = np.float32(np.nan)
    if not na_vs_rest and not by_set:
        threshold = _float(tree, at)
        if np.isnan(threshold):
            raise MojoError(_FINITE)
        at += 4
    if cardinalities[column] == 0:
        node.value = threshold
        return at, used
    low, high = 0, cardinalities[column]
    if split == _BY_SET_OF_32:
        high = 32
    elif by_set:
        low, high = _uint(tree, at, 2), _uint(tree, at, 2) + _uint(tree, at + 2, 4)
        at += 6
    begin = at
    if by_set:
        at += (high - low + 7) // 8
        if at > tree.size:
            raise MojoError(_SHORT)
    span = max(0, min(high, cardinalities[column]) - low)
    end = _room(bits, used, span // 32 + 3)
    node.bits, node.value = used, np.float32(-np.inf if na_right else np.nan)
    bits[used], bits[used + 1] = low, span
    for k in range(span):
        goes_right = tree[begin + k // 8] >> k % 8 & 1 if by_set else low + k >= threshold
        bits[used + 2 + k // 32] |= np.uint32(goes_right) << np.uint32(k % 32)
    return at, end


@compiled
def _left(tree, at, kind):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Position of the left child, required position of the right, and whether left is a leaf."""
    width = (kind & _LEFT_MASK) + 1
    if width - 1 == _LEFT_IS_LEAF:
        return at, at + 4, 1
    if width > 4:
        raise MojoError(_LEFT)
    return at + width, at + width + _uint(tree, at, width), 0


@compiled
def _room(bits, used, need):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """The used words of the pool, including `need` more."""
    if used + need > bits.size:
        raise MojoError(_SETS)
    return used + need


@compiled
def _uint(tree, at, width):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    if at + width > tree.size:
        raise MojoError(_SHORT)
    number = np.int64(0)
    for k in range(width):
        number |= np.int64(tree[at + k]) << 8 * k
    return number


@compiled
def _float(tree, at):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return np.uint32(_uint(tree, at, 4)).view(np.float32)
