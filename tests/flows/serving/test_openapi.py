from flows.serving.openapi import document
from flows.streams.flights import stream
from state.settings import Serve

FITS = {
    "FitRecord", "TrainingWindow", "TrainingFile", "TriedCandidate", "Scorecard", "Certificate",
    "TitleEvidence",
}  # fmt: skip


def test_a_schema_is_named_by_what_it_holds():
    described = document(stream, Serve(), secured=False)
    names = {"Scheduled", "Score", "ColumnEffect", "ModelsInUse", "PartitionModel"}
    assert set(described["components"]["schemas"]) == {*names, *FITS, "Health", "Problem"}
    answers = described["paths"]["/score"]["post"]["responses"]["200"]["content"]
    assert answers["application/json"]["schema"] == {"$ref": "#/components/schemas/Score"}
