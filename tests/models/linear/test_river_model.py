"""Any River classifier can be named, and what is no such thing is refused by name."""

import pytest

from models.linear.river_model import RiverError, RiverModel, check_river

TREE = {"class": "tree.HoeffdingTreeClassifier", "grace_period": 20}


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"class": "tree.OakClassifier"}, "got 'tree.OakClassifier': module"),
        ({"class": "orchard.Tree"}, "got 'orchard.Tree': No module named 'river.orchard'"),
        ({}, "must name a class of River; got ''"),
        (TREE | {"leaves": 7}, "unexpected keyword argument 'leaves'"),
        ({"class": "preprocessing.StandardScaler"}, "must name a classifier; got 'preproc"),
        ({"class": "linear_model.LinearRegression"}, "must name a classifier"),
        (
            {"class": "linear_model.LogisticRegression", "optimizer": {"class": "optim.Nope"}},
            "got 'optim.Nope'",
        ),
    ],
)
def test_what_river_does_not_have_is_refused(description, message):
    with pytest.raises(ValueError, match=message):
        RiverModel(description)


def test_the_description_is_left_as_it_was():
    description = {
        "class": "linear_model.LogisticRegression",
        "optimizer": {"class": "optim.SGD", "lr": 0.5},
    }
    RiverModel(description)
    assert description["class"] == "linear_model.LogisticRegression"
    assert description["optimizer"]["class"] == "optim.SGD"


@pytest.mark.parametrize(("label", "sure"), [(0, 0.0), (1, 1.0)])
def test_a_model_that_saw_one_label_alone_is_sure_of_it(label, sure):
    model = RiverModel(TREE)
    assert model.predict({0: 1.0}) == 0.5
    model.learn({0: 1.0}, label)
    assert model.predict({0: 1.0}) == sure


def test_what_is_random_in_a_model_repeats():
    def run(description):
        model = RiverModel(description)
        given = []
        for n in range(200):
            design = {0: n % 7, 1: n % 3}
            given.append(model.predict(design))
            model.learn(design, int(n % 7 > 3))
        return given

    forest = {"class": "forest.ARFClassifier", "n_models": 3}
    assert run(forest) == run(forest)
    bagged = {"class": "ensemble.BaggingClassifier", "model": TREE, "n_models": 3}
    assert run(bagged) == run(bagged)
    assert run(forest | {"seed": 5}) != run(forest | {"seed": 6})


@pytest.mark.parametrize(
    "description",
    [
        {"class": "os.system"},
        {"class": "..os.system"},
        {"class": 3},
        {"class": "base.Classifier"},
        {"class": "compose.Pipeline"},
        {"class": "utils.math.softmax"},
        {"class": "linear_model\x00.LogisticRegression"},
        {"class": "linear_model.base.numbers"},
        {"class": "linear_model.LogisticRegression", "optimizer": {"class": "os.system"}},
        {"class": "linear_model.LogisticRegression", "optimizer": {"class": "datasets.Bananas"}},
        {"class": "linear_model.LogisticRegression", "optimizer": 3},
        {"class": "linear_model.LogisticRegression", "l1": 1.0, "l2": 1.0},
        TREE | {"grace_period": "x"},
    ],
)
def test_what_makes_no_classifier_that_works_is_refused_in_a_line(description):
    with pytest.raises(RiverError, match=r"online\.river must") as refused:
        check_river(description)
    assert "\n" not in str(refused.value)


def test_a_model_that_gives_no_number_knows_nothing():
    # Two labels seen at one place only: its Gaussians have no width there, and elsewhere 0 / 0.
    model = RiverModel({"class": "naive_bayes.GaussianNB"})
    for label in (0, 1, 0, 1):
        model.learn({0: 0.0}, label)
    for value in (0.0, 1.0, 5.0, 1e300):
        assert 0.0 <= model.predict({0: value}) <= 1.0


def test_a_model_that_fails_is_named():
    model = RiverModel(TREE | {"grace_period": "x"})
    with pytest.raises(RiverError, match=r"got TypeError: .* from 'tree.HoeffdingTreeClassifier'"):
        model.learn({0: 1.0}, 1)
