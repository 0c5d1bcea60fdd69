import io
import math
import struct
import zipfile

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from models.mojo.model import MojoError, read_mojo

NA_VS_REST, NA_LEFT, NA_RIGHT, LEFT, RIGHT = range(1, 6)
DOMAINS = {"few": 5, "many": 100}
GBM = {
    "algo": "gbm",
    "mojo_version": "1.40",
    "category": "Regression",
    "endianness": "LITTLE_ENDIAN",
    "escape_domain_values": "true",
    "supervised": "true",
    "n_columns": "4",
    "balance_classes": "false",
    "prior_class_distrib": "null",
    "model_class_distrib": "null",
    "n_trees": "1",
    "n_trees_per_class": "1",
    "_genmodel_encoding": "AUTO",
    "distribution": "gaussian",
    "link_function": "identity",
    "init_f": "0.0",
}
BINOMIAL = {"category": "Binomial", "distribution": "bernoulli", "link_function": "logit"}
GLM = GBM | {
    "algo": "glm",
    "mojo_version": "1.00",
    "use_all_factor_levels": "false",
    "cats": "2",
    "cat_offsets": "[0, 4, 103]",
    "nums": "1",
    "mean_imputation": "true",
    "num_means": "[10.0]",
    "cat_modes": "[2, 0]",
    "beta": str([1.0, 2.0, 3.0, 4.0, *([0.0] * 98), 50.0, 0.5, 100.0]),
    "family": "gaussian",
    "link": "identity",
}


def node(column, direction, left, right, *, number=None, set32=None, bits=None, offset=0):
    """A split as H2O writes it; a child is a float (leaf) or the bytes of a subtree."""
    kind, split = 0, b""
    if number is not None:
        split = struct.pack("<f", number)
    if set32 is not None:
        kind, split = 8, sum(1 << code for code in set32).to_bytes(4, "little")
    if bits is not None:
        kind = 12
        split = struct.pack("<HI", offset, len(bits))
        split += np.packbits(bits, bitorder="little").tobytes()
    if isinstance(left, bytes):
        width = (len(left).bit_length() + 7) // 8
        kind, left = kind | (width - 1), len(left).to_bytes(width, "little") + left
    else:
        kind, left = kind | 48, struct.pack("<f", left)
    if not isinstance(right, bytes):
        kind, right = kind | 0xC0, struct.pack("<f", right)
    return struct.pack("<BHB", kind, column, direction) + split + left + right


def archive(*trees, columns=("x", "few", "many", "y"), response=None, lines="", **info):
    info = {**GBM, "n_trees": str(len(trees)), **info}
    domains = {columns.index(name): [f"{name}{k}" for k in range(n)] for name, n in DOMAINS.items()}
    if response:
        domains[len(columns) - 1] = response
    ini = ["[info]", *(f"{key} = {value}" for key, value in info.items()), lines]
    ini += ["[columns]", *columns, "", "[domains]"]
    ini += [f"{column}: {len(levels)} d{column}.txt" for column, levels in domains.items()]
    files = {"model.ini": "\n".join(ini)}
    files |= {f"domains/d{column}.txt": "\n".join(levels) for column, levels in domains.items()}
    files |= {f"trees/t00_{k:03d}.bin": tree for k, tree in enumerate(trees)}
    return zipped(files)


def zipped(files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return packed.getvalue()


def glm(**info):
    return archive(columns=("few", "many", "x", "y"), **(GLM | info))


def score(source, *row):
    return read_mojo(source).score(np.array(row, float))


NAN = math.nan


@pytest.mark.parametrize(
    ("direction", "x", "leaf"),
    [
        (NA_LEFT, 0.49, 1.0),
        (NA_LEFT, 0.5, 2.0),
        (NA_LEFT, NAN, 1.0),
        (LEFT, NAN, 1.0),
        (NA_RIGHT, NAN, 2.0),
        (RIGHT, NAN, 2.0),
        (RIGHT, -math.inf, 1.0),
        (LEFT, math.inf, 2.0),
    ],
)
def test_a_number_at_or_above_the_split_goes_right(direction, x, leaf):
    assert score(archive(node(0, direction, 1.0, 2.0, number=0.5)), x, 0, 0) == leaf


@pytest.mark.parametrize(("x", "leaf"), [(NAN, 2.0), (0.0, 1.0), (math.inf, 1.0), (-math.inf, 1.0)])
def test_na_against_the_rest_sends_only_na_right(x, leaf):
    assert score(archive(node(0, NA_VS_REST, 1.0, 2.0)), x, 0, 0) == leaf


def test_a_split_is_a_32_bit_number_and_a_value_is_not():
    tree = node(0, LEFT, 1.0, 2.0, number=0.1)  # as float32 a little above 0.1
    assert score(archive(tree), 0.1, 0, 0) == 1.0
    assert score(archive(tree), float(np.float32(0.1)), 0, 0) == 2.0


@pytest.mark.parametrize("direction", [NA_LEFT, NA_RIGHT])
@pytest.mark.parametrize("code", [5, 31, 32, 1e300, math.inf, -1, -1e300, NAN])
def test_a_level_that_the_domain_lacks_goes_where_na_goes(code, direction):
    na = 1.0 if direction == NA_LEFT else 2.0
    splits = {"set32": [1, 3, 5, 31]}, {"bits": [1] * 100}, {"number": 0.5}
    for split in splits:
        assert score(archive(node(1, direction, 1.0, 2.0, **split)), 0, code, 0) == na


def test_na_against_the_rest_of_the_levels():
    mojo = read_mojo(archive(node(1, NA_VS_REST, 1.0, 2.0)))
    rows = np.array([[0, code, 0] for code in (0, 4, 5, -1, NAN)], float)
    assert mojo.score_many(rows).tolist() == [1.0, 1.0, 2.0, 2.0, 2.0]


def test_a_set_sends_its_levels_right():
    mojo = read_mojo(archive(node(1, LEFT, 1.0, 2.0, set32=[1, 3])))
    rows = np.array([[0, code, 0] for code in range(5)], float)
    assert mojo.score_many(rows).tolist() == [1.0, 2.0, 1.0, 2.0, 1.0]


def test_a_set_with_an_offset_knows_only_the_levels_within():
    bits = [k % 3 == 0 for k in range(40)]  # levels 37 to 76
    mojo = read_mojo(archive(node(2, NA_RIGHT, 1.0, 2.0, bits=bits, offset=37)))
    rows = np.array([[0, 0, code] for code in range(100)], float)
    want = [2.0 if not 37 <= k < 77 or (k - 37) % 3 == 0 else 1.0 for k in range(100)]
    assert mojo.score_many(rows).tolist() == want


def test_each_tree_has_its_own_sets():
    trees = [node(1, LEFT, 0.0, 10.0**k, set32=[k]) for k in range(5)]
    mojo = read_mojo(archive(*trees))
    rows = np.array([[0, code, 0] for code in range(5)], float)
    assert mojo.score_many(rows).tolist() == [1.0, 10.0, 100.0, 1000.0, 10000.0]


def test_levels_split_by_number_as_codes():
    mojo = read_mojo(archive(node(1, NA_LEFT, 1.0, 2.0, number=2.5)))
    rows = np.array([[0, code, 0] for code in range(5)], float)
    assert mojo.score_many(rows).tolist() == [1.0, 1.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize("depth", [1, 9, 30, 9000])
def test_deep_trees_find_both_ends(depth):
    left = right = 0.0
    for k in range(depth):
        left = node(0, LEFT, left, float(k + 1), number=-k)
        right = node(0, LEFT, float(k + 1), right, number=k - depth)
    assert score(archive(left), -1e9, 0, 0) == 0.0
    assert score(archive(right), 1e9, 0, 0) == 0.0
    assert score(archive(left), 0.5, 0, 0) == depth


def test_leaves_of_all_trees_add_up_to_the_init_before_the_link():
    trees = [node(0, LEFT, -float(k), float(k), number=k) for k in range(1, 8)]
    trees.append(b"\x00\xff\xff" + struct.pack("<f", 0.25))  # a tree that is one leaf
    # x = 3: 1 + 2 + 3 - 4 - 5 - 6 - 7 + 0.25 + 15
    assert score(archive(*trees, init_f="15.0"), 3, 0, 0) == -0.75
    assert score(
        archive(*trees, init_f="15", link_function="log", distribution="poisson"), 3, 0, 0
    ) == (pytest.approx(math.exp(-0.75), rel=1e-15))
    source = archive(*trees, response=["no", "yes"], **BINOMIAL, init_f="15.0")
    assert score(source, 3, 0, 0) == pytest.approx(1 / (1 + math.exp(0.75)), rel=1e-15)


def test_a_forest_takes_the_mean_and_its_binomial_votes_for_the_first_level():
    trees = [node(0, LEFT, 0.25, 0.5, number=k) for k in (1, 2)]
    assert score(archive(*trees, algo="drf"), 1.5, 0, 0) == 0.375
    source = archive(*trees, algo="drf", response=["no", "yes"], **BINOMIAL)
    assert score(source, 1.5, 0, 0) == 0.625


thresholds = st.sampled_from([-1.5, 0.0, 0.1, 0.5, 3.0, math.inf, -math.inf])
numeric = st.tuples(
    st.just(0), st.integers(NA_LEFT, RIGHT), st.fixed_dictionaries({"number": thresholds})
)
small = st.tuples(
    st.just(1),
    st.integers(NA_LEFT, RIGHT),
    st.fixed_dictionaries({"set32": st.lists(st.integers(0, 4), unique=True)}),
)
large = st.tuples(
    st.just(2),
    st.integers(NA_LEFT, RIGHT),
    st.fixed_dictionaries(
        {
            "bits": st.lists(st.integers(0, 1), min_size=1, max_size=70),
            "offset": st.integers(0, 30),
        }
    ),
)
alone = st.tuples(st.integers(0, 2), st.just(NA_VS_REST), st.just({}))
grown = st.recursive(
    st.floats(-9, 9, width=32),
    lambda child: st.tuples(numeric | small | large | alone, child, child),
    max_leaves=12,
)
forests = st.lists(grown.filter(lambda tree: isinstance(tree, tuple)), min_size=1, max_size=9)


def written(tree):
    if isinstance(tree, float):
        return tree
    (column, direction, split), left, right = tree
    return node(column, direction, written(left), written(right), **split)


def leaf_of(tree, row):
    """H2O's own walk of a tree, in its terms."""
    while isinstance(tree, tuple):
        (column, direction, split), left, right = tree
        value = row[column]
        first = split.get("offset", 0)
        size = {"set32": 32, "bits": len(split.get("bits", ()))}
        size = next((size[name] for name in size if name in split), math.inf)
        missing = math.isnan(value) or (
            column > 0 and not (0 <= value < list(DOMAINS.values())[column - 1])
        )
        missing = missing or (column > 0 and not first <= value < first + size)
        if missing:
            goes_right = direction in {NA_VS_REST, NA_RIGHT, RIGHT}
        elif "number" in split:
            goes_right = value >= float(np.float32(split["number"]))
        elif "set32" in split:
            goes_right = value in split["set32"]
        else:
            goes_right = bool(split.get("bits")) and split["bits"][int(value) - first] == 1
        tree = right if goes_right else left
    return tree


@settings(deadline=None, max_examples=60)
@given(forest=forests, seed=st.integers(0, 99), n=st.sampled_from([1, 7, 1024, 1500]))
def test_rows_together_find_the_leaves_that_each_finds_alone(forest, seed, n):
    random = np.random.default_rng(seed)
    edges = [-1.5, 0.0, 0.1, float(np.float32(0.1)), 0.5, 3.0, math.inf, -math.inf, NAN]
    rows = np.column_stack(
        [random.choice(edges, n), random.integers(-1, 7, n), random.integers(-1, 102, n)]
    )
    rows[random.random(rows.shape) < 0.1] = NAN
    mojo = read_mojo(archive(*map(written, forest), init_f="0.25"))
    together = mojo.score_many(rows)
    some = range(0, n, max(1, n // 40))
    for i in some:
        assert together[i] == sum(leaf_of(tree, rows[i]) for tree in forest) + 0.25
    assert together.tolist() == [mojo.score(row) for row in rows]


def test_balanced_classes_are_weighed_back():
    source = archive(
        node(0, LEFT, 0.0, 9.0, number=0.5),
        response=["no", "yes"],
        **BINOMIAL,
        balance_classes="true",
        prior_class_distrib="[0.9, 0.1]",
        model_class_distrib="[0.5, 0.5]",
    )
    # even odds of the fit are odds of 1 to 9
    assert score(source, 0, 0, 0) == pytest.approx(0.1, rel=1e-15)


def test_a_glm_sums_coefficients_and_imputes():
    mojo = read_mojo(glm())
    rows = np.array([[0, 0, 0], [1, 99, 2], [4, 5, NAN], [NAN, NAN, 2], [5, 100, 2]])
    # 100 + few + many + 0.5 x; NA and unseen levels are few2 and many0, a missing x is 10
    assert mojo.score_many(rows).tolist() == [100.0, 152.0, 109.0, 103.0, 103.0]


def test_a_glm_may_have_coefficients_for_first_levels():
    beta = str([7.0, 1.0, 2.0, 3.0, 4.0, *([0.0] * 100), 0.5, 100.0])
    source = glm(use_all_factor_levels="true", cat_offsets="[0, 5, 105]", beta=beta)
    assert score(source, 0, 3, 2) == 108.0


@pytest.mark.parametrize("source", [archive(node(0, LEFT, 1.0, 2.0, number=0.5)), glm()])
def test_other_compiled_code_may_call_the_kernel(source):
    mojo = read_mojo(source)
    kernel = mojo.kernel
    doubled = njit(lambda row, arguments: 2.0 * kernel(row, *arguments))
    assert doubled(np.ones(3), mojo.kernel_args) == 2.0 * mojo.score(np.ones(3))


def test_bools_and_numbers_name_levels():
    files = zipfile.ZipFile(io.BytesIO(archive(node(1, LEFT, 1.0, 2.0, number=1))))
    names = {name: files.read(name) for name in files.namelist()}
    names["domains/d1.txt"] = b"False\nTrue\n7\n8\n9"
    mojo = read_mojo(zipped(names))
    columns = {"x": [0, 0, 0], "many": ["", "", ""]}
    bools = mojo.encode(columns | {"few": pl.Series([True, None, False])})
    np.testing.assert_array_equal(bools[:, 1], [1.0, NAN, 0.0])
    numbers = mojo.encode(columns | {"few": np.array([9, 1, 7])})
    np.testing.assert_array_equal(numbers[:, 1], [4.0, NAN, 2.0])


def test_columns_become_rows():
    mojo = read_mojo(archive(node(0, LEFT, 1.0, 2.0, number=0.5)))
    rows = mojo.encode(
        {
            "many": ["many99", None, "many0"],
            "x": [1, None, 2.5],
            "ignored": [0, 0, 0],
            "few": np.array(["few1", "other", "few4"]),
        }
    )
    want = [[1.0, 1.0, 99.0], [NAN, NAN, NAN], [2.5, 4.0, 0.0]]
    np.testing.assert_array_equal(rows, np.array(want))
    with pytest.raises(ValueError, match=r"columns must hold \['few', 'many'\]; got \['x'\]"):
        mojo.encode({"x": [1.0]})


def test_levels_may_hold_anything_that_h2o_escapes():
    files = zipfile.ZipFile(io.BytesIO(archive(node(1, LEFT, 1.0, 2.0, number=1))))
    names = {name: files.read(name) for name in files.namelist()}
    levels = ["a\\\\nb", "line\\nbreak", ' "quoted", ', "sep\u2028arator\x85", ""]
    names["domains/d1.txt"] = "".join(f"{level}\n" for level in levels).encode()
    domain = read_mojo(zipped(names)).domains[1]
    assert domain == ("a\\nb", "line\nbreak", ' "quoted", ', "sep\u2028arator\x85", "")


def test_a_row_of_another_length_is_refused():
    mojo = read_mojo(archive(node(0, LEFT, 1.0, 2.0, number=0.5)))
    with pytest.raises(ValueError, match="row must be 3 numbers"):
        mojo.score(np.zeros(2))
    with pytest.raises(ValueError, match="rows must be n by 3"):
        mojo.score_many(np.zeros((3, 4)))


def test_the_digest_changes_with_all_that_is_computed():
    tree = node(1, LEFT, 1.0, 2.0, set32=[1])
    sources = [
        archive(tree),
        archive(node(1, RIGHT, 1.0, 2.0, set32=[1])),
        archive(node(1, LEFT, 1.0, 2.5, set32=[1])),
        archive(node(1, LEFT, 1.0, 2.0, set32=[2])),
        archive(tree, init_f="1.0"),
        archive(tree, columns=("z", "few", "many", "y")),
        archive(tree, columns=("x", "few", "many", "z")),
        archive(tree, algo="drf"),
        archive(tree, tree),
        archive(tree, distribution="poisson", link_function="log"),
        archive(tree, response=["no", "yes"], **BINOMIAL),
        archive(tree, response=["yes", "no"], **BINOMIAL),
        glm(),
    ]
    assert len({read_mojo(source).digest for source in sources}) == len(sources)
    renewed = archive(tree, uuid="7", timestamp="2013-01-01T00:00:00.000Z")
    assert read_mojo(renewed).digest == read_mojo(sources[0]).digest


TREE = node(0, LEFT, node(2, RIGHT, 1.0, 2.0, bits=[1] * 50), 3.0, number=1)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "archive must be a zip file; got 0 bytes"),
        (b"PK\x03\x04" * 9, "archive must be a zip file"),
        (zipped({"a": "b"}), "archive must hold model.ini"),
        (zipped({"model.ini": b"\xff"}), "text must be UTF-8"),
        (zipped({"model.ini": ""}), "model.ini must hold endianness"),
        (archive(algo="kmeans", category="Clustering"), "got 'Clustering' of 'kmeans'"),
        (archive(category="Multinomial"), "must be Binomial or Regression; got 'Multinomial'"),
        (archive(mojo_version="1.50"), "mojo_version of gbm must be 1.40; got '1.50'"),
        (archive(distribution="multinomial"), "got Regression 'multinomial' with 'identity'"),
        (archive(link_function="ologit"), "got Regression 'gaussian' with 'ologit'"),
        (archive(offset_column="x"), "offset_column must be null; got 'x'"),
        (archive(**BINOMIAL), "response must have two levels; got None"),
        (archive(_genmodel_encoding="OneHotInternal"), "_genmodel_encoding must be AUTO"),
        (archive(n_trees_per_class="2"), "n_trees_per_class must be 1; got '2'"),
        (archive(n_trees="2"), "archive must hold trees/t00_000.bin"),
        (archive(n_trees="-1"), "n_trees must be a whole number; got '-1'"),
        (archive(init_f="NaN"), "init_f must be a finite number; got 'NaN'"),
        (archive(endianness="BIG_ENDIAN"), "endianness must be LITTLE_ENDIAN"),
        (archive(n_columns="5"), "columns must be n_columns, 2 or more; got 4"),
        (archive(columns=("few", "few", "many", "y")), "columns must be distinct"),
        (archive(TREE[:-1]), "got its end within a node in trees/t00_000.bin"),
        (
            archive(TREE[:20]),
            "tree must be complete; got its end within a node in trees/t00_000.bin",
        ),
        (archive(TREE + b"\0"), "tree must end where its bytes end"),
        (archive(node(3, LEFT, 1.0, 2.0, number=1)), "column must be one of the model's"),
        (archive(node(0, 6, 1.0, 2.0, number=1)), "direction of NA must be 1 to 5"),
        (archive(node(0, LEFT, 1.0, 2.0, set32=[1])), "split must suit its column"),
        (archive(b"\x30" + TREE[1:]), "must"),
        (archive(b"\x11" + TREE[1:]), "left child must be a leaf or a subtree"),
        (archive(TREE[:8] + b"\x01" + TREE[9:]), "left subtree must have the stated length"),
        (glm(link="ologlog"), "got Regression 'gaussian' with 'ologlog'"),
        (glm(family="multinomial"), "got Regression 'multinomial' with 'identity'"),
        (glm(mean_imputation="false"), "mean_imputation must be true"),
        (glm(beta="[1.0]"), "beta must be 105 long; got 1"),
        (glm(cat_offsets="[0, 400, 103]"), "must suit the 5 levels of column 0"),
        (glm(cat_modes="[5, 0]"), "must suit the 5 levels of column 0"),
        (glm(cats="3"), "must be of 3 columns"),
        (glm(nums="2"), "num_means must be one per number"),
    ],
)
def test_what_is_malformed_or_unknown_is_refused_with_the_reason(source, message):
    with pytest.raises(MojoError, match="must") as caught:
        read_mojo(source)
    assert message in str(caught.value)


def test_an_archive_that_swells_is_refused_before_it_does():
    source = archive(TREE)
    at = source.rindex(b"PK\x01\x02") + 24  # the size unpacked, in the directory
    source = source[:at] + struct.pack("<I", 1 << 31) + source[at + 4 :]
    with pytest.raises(MojoError, match="must hold at most 100000 files of 1073741824 bytes"):
        read_mojo(source)


WHOLE = [
    archive(TREE, node(1, NA_VS_REST, 1.0, TREE), response=["no", "yes"], **BINOMIAL),
    glm(),
]
ROWS = np.array(
    [
        [0.0, 1.0, 2.0],
        [NAN, NAN, NAN],
        [5.0, 99.0, 99.0],
        [-1.0, -1.0, 1e300],
        [math.inf, -math.inf, 0.5],
    ]
)
changes = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=4)


def changed(content, edits, cut):
    content = bytearray(content)
    for at, byte in edits:
        if content:
            content[at % len(content)] = byte
    return bytes(content[: len(content) - cut] if cut < len(content) else b"")


def assert_bounded(source):
    """Either an error of ours, or flat arrays that no walk can leave."""
    try:
        mojo = read_mojo(source)
    except MojoError:
        return
    assert mojo.score_many(np.zeros((2, len(mojo.columns)))).shape == (2,)
    if len(mojo.columns) == ROWS.shape[1]:
        mojo.score_many(ROWS)
    if mojo.algorithm != "glm":
        nodes, roots, bits = mojo.kernel_args[:3]
        at = np.arange(len(nodes))
        assert ((roots >= 0) & (roots < max(len(nodes), 1))).all()
        assert (nodes["column"] < len(mojo.columns)).all()
        assert (nodes["stride"] >= 0).all()
        assert (at + nodes["split"] + nodes["stride"] < len(nodes)).all()
        assert (nodes["split"] == (nodes["stride"] > 0)).all()
        assert (nodes["bits"].astype(int) + 2 + bits[nodes["bits"] + 1] // 32 < len(bits)).all()


@settings(deadline=None, max_examples=300)
@given(tree=st.sampled_from([0, 1]), edits=changes, cut=st.sampled_from([0, 0, 0, 1, 7]))
def test_no_damaged_tree_gets_out_of_bounds(tree, edits, cut):
    trees = [TREE, node(1, NA_VS_REST, 1.0, TREE)]
    trees[tree] = changed(trees[tree], edits, cut)
    assert_bounded(archive(*trees))


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_no_tree_of_arbitrary_bytes_gets_out_of_bounds(content):
    assert_bounded(archive(content))


@settings(deadline=None, max_examples=300)
@given(source=st.sampled_from(WHOLE), edits=changes, cut=st.integers(0, 40))
def test_no_damaged_archive_gets_out_of_bounds(source, edits, cut):
    assert_bounded(changed(source, edits, cut))


@settings(deadline=None, max_examples=300)
@given(source=st.sampled_from(WHOLE), edits=changes, text=st.text(max_size=20))
def test_no_damaged_model_ini_gets_out_of_bounds(source, edits, text):
    files = zipfile.ZipFile(io.BytesIO(source))
    names = {name: files.read(name) for name in files.namelist()}
    ini = changed(names["model.ini"], edits, 0)
    assert_bounded(zipped(names | {"model.ini": ini}))
    assert_bounded(zipped(names | {"model.ini": ini.replace(b"0", text.encode(), 3)}))
