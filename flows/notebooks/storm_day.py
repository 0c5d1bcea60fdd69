"""An analyst's session on the flights: the worst day, one prediction, and what if.

`marimo edit flows/notebooks/storm_day.py` opens it, `python flows/notebooks/storm_day.py` runs it
through. It reads the home that `HEADWATER_HOME` names; the what-if leaves a branch there, which
`headwater branches --remove` takes away.
"""

import marimo

app = marimo.App(width="medium")

with app.setup:
    from collections.abc import Iterable
    from datetime import datetime, time, timedelta

    import marimo as mo
    import polars as pl

    from flows.home.configuration import load_settings
    from flows.home.deployment import Deployment
    from flows.home.home import environment_home
    from flows.pages.chart import Bar, Line, Span, areas, bars, lines, reliability
    from flows.pages.document import Key, Picture, Table
    from flows.pages.page import page
    from flows.reading import read
    from flows.replay import audit, what_if
    from flows.reports.mixture import GROUPS
    from flows.reports.offline_model import effects
    from models.judging.intervals import Counted, exact_interval

    MODELS = ("online", "offline", "residual", "probability")
    CHANGES = {"decision.threshold": 0.3}
    COLOURS = ("c3", "c4", "c6", "c1")

    def shown(caption: str, svg: str, keys: Iterable[str] = (), height: str = "460px") -> mo.Html:
        """A picture in the notebook."""
        legend = [Key(name, colour) for name, colour in zip(keys, COLOURS, strict=False)]
        return mo.iframe(page("", [Picture(svg, caption, legend, Table([], []))]), height=height)

    def micros(times: pl.Series) -> list[int]:
        return times.dt.timestamp("us").to_list()


@app.cell(hide_code=True)
def title():
    mo.md("# A storm day\n\nWhich day was the worst, what did the models make of it, and what if?")
    return


@app.cell
def worst_days():
    days = (
        read("outcomes")
        .group_by(day=pl.col("event_time").dt.date())
        .agg(requests=pl.len(), late=pl.col("label").mean())
        .filter(pl.col("requests") > 100)
        .sort("late", descending=True)
        .head(10)
        .collect()
    )
    days
    return (days,)


@app.cell
def choice(days):
    day_picked = mo.ui.dropdown([str(day) for day in days["day"]], str(days["day"][0]), label="day")
    day_picked
    return (day_picked,)


@app.cell
def the_day(day_picked):
    since = datetime.combine(datetime.fromisoformat(day_picked.value), time())
    until = since + timedelta(days=1)
    # A label comes hours after its prediction: outcomes are read on, and cut by event time.
    outcomes = (
        read("outcomes", since=since, until=until + timedelta(days=1))
        .filter(pl.col("event_time").is_between(since, until, closed="left"))
        .collect()
    )
    return outcomes, since, until


@app.cell
def by_hour(outcomes):
    label = pl.col("label")

    def log_loss(model: str) -> pl.Expr:
        truth = pl.when(label == 1).then(pl.col(model)).otherwise(1 - pl.col(model))
        return -truth.log().mean().alias(f"log-loss {model}")

    hours = (
        outcomes.group_by(hour=pl.col("event_time").dt.truncate("1h"))
        .agg(
            pl.len().alias("requests"),
            label.mean().alias("late"),
            pl.col("probability").mean().alias("predicted"),
            *(log_loss(model) for model in MODELS),
        )
        .sort("hour")
    )
    hours
    return (hours,)


@app.cell
def quality_by_hour(hours, since, until):
    span = Span(*micros(pl.Series([since, until])))
    times = [time + 1_800_000_000 for time in micros(hours["hour"])]
    quality = [
        Line(colour, hours[f"log-loss {model}"].to_list())
        for model, colour in zip(MODELS, COLOURS, strict=True)
    ]
    shown(
        "How wrong each model was by hour (log-loss): lower is better.",
        lines("Log-loss by hour", span, times, quality),
        MODELS,
    )
    return


@app.cell
def label_by_hour(hours, since, until):
    rate = [Line("c3", hours["late"].to_list()), Line("c4", hours["predicted"].to_list())]
    shown(
        "How many flights were late by hour, and how many the answers expected.",
        lines(
            "Share of late flights by hour",
            Span(*micros(pl.Series([since, until]))),
            [time + 1_800_000_000 for time in micros(hours["hour"])],
            rate,
            limits=(0.0, 1.0),
            percent=True,
        ),
        ("came", "said"),
    )
    return


@app.cell
def calibration(outcomes):
    tenths = (
        outcomes.sort("probability")
        .group_by(tenth=pl.int_range(pl.len()) * 10 // pl.len())
        .agg(said=pl.col("probability").mean(), ones=pl.col("label").sum(), requests=pl.len())
        .sort("tenth")
    )
    groups = [
        (said, *exact_interval(Counted(ones, requests)))
        for _, said, ones, requests in tenths.iter_rows()
    ]
    shown(
        "Across: the probability that was said. Up: the share that was late. On the dashed line "
        "both are equal.",
        reliability("Calibration of the day", groups),
    )
    return


@app.cell
def as_the_flow_told_it(since, until):
    metrics = read("metrics", since=since, until=until).select(
        "time", "requests", "pending", "^lately_.*_log_loss$"
    )
    metrics.collect()
    return


@app.cell
def weights_of_the_mixture(since, until):
    ticks = read("metrics", since=since, until=until).drop_nulls("shares_online").collect()
    parts = {
        name: ticks.select(pl.sum_horizontal(pl.col(columns).fill_null(0.0))).to_series().to_list()
        for name, columns in GROUPS.items()
    }
    shown(
        "How much each kind of model counted in the answers.",
        areas(
            "Weights of the mixture",
            Span(*micros(pl.Series([since, until]))),
            micros(ticks["time"]),
            [*zip(COLOURS, parts.values(), strict=True)],
        ),
        parts,
    )
    return


@app.cell
def greatest_surprise(outcomes):
    wrong = (pl.col("label") - pl.col("probability")).abs()
    surprise = outcomes.sort(wrong, descending=True).head(1)
    mo.md(
        f"**The greatest surprise**: `{surprise['id'].item()}`, late: "
        f"{bool(surprise['label'].item())}, predicted {surprise['probability'].item():.1%} "
        f"by model `{surprise['model'].item()}`."
    )
    return (surprise,)


@app.cell
def its_reasons(surprise):
    with Deployment.open(load_settings(), environment_home(), checkpoints=False) as flow:
        reasons = effects(flow, surprise)[:8]
    reasons_picture = shown(
        "How each column changed the odds in the offline model's answer: to the right it raised "
        "them.",
        bars(
            "Reasons of the greatest surprise",
            [
                Bar(f"{one.column} {surprise[one.column].item()} {one.words}", one.change)
                for one in reasons
            ],
        ),
        height="640px",
    )
    reasons_picture if reasons else mo.md("No offline model answered it yet.")
    return


@app.cell
def its_features(outcomes, surprise):
    features = outcomes.columns[outcomes.columns.index("label_time") + 1 :]
    numbers = [name for name in features if outcomes.schema[name] == pl.Float64]
    spread = [pl.col(numbers).mean(), pl.col(numbers).std()]
    mean, deviation = (outcomes.select(one).transpose().to_series() for one in spread)
    vector = pl.DataFrame(
        {
            "feature": numbers,
            "value": surprise.select(numbers).row(0),
            "mean": mean,
            "sd": deviation,
        }
    ).with_columns(away=(pl.col("value") - pl.col("mean")) / pl.col("sd"))
    vector.filter(pl.col("away").is_finite()).sort(pl.col("away").abs(), descending=True).head(12)
    return


@app.cell
def was_it_really_so(since, until):
    audit(since, until)
    return


@app.cell
def what_if_only_the_offline_model(since, until):
    compared = what_if(CHANGES, since, until)
    return (compared,)


@app.cell
def what_would_have_changed(compared):
    known = compared.drop_nulls("label")
    loss = {
        side: -pl.when(pl.col("label") == 1)
        .then(pl.col(f"probability_{side}"))
        .otherwise(1 - pl.col(f"probability_{side}"))
        .log()
        .mean()
        for side in ("base", "branch")
    }
    answer = known.select(
        pl.len().alias("requests"),
        (pl.col("decision_base") != pl.col("decision_branch")).sum().alias("decisions changed"),
        loss["base"].alias("log-loss recorded"),
        loss["branch"].alias("log-loss of the offline model alone"),
    )
    print(answer)
    answer
    return


if __name__ == "__main__":
    app.run()
