"""Any River classifier can be named, and what is no such thing is refused by name."""

import pytest

from models.river_model import RiverModel

TREE = {"class": "tree.HoeffdingTreeClassifier", "grace_period": 20}


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"class": "tree.OakClassifier"}, "got 'tree.OakClassifier': module"),
        ({"class": "orchard.Tree"}, "got 'orchard.Tree': No module named 'river.orchard'"),
        ({}, "must describe something that River has; got ''"),
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
