"""River's metrics of decisions, by our names: another path to the same figures."""

from river import metrics

RIVERS = {
    "f1": metrics.F1(),
    "f2": metrics.FBeta(beta=2),
    "accuracy": metrics.Accuracy(),
    "precision": metrics.Precision(),
    "recall": metrics.Recall(),
}
