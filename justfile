# What is done often: `just` lists it. Everything runs in the Python environment that is active.

_default:
    @just --list --unsorted

# Install the project and its tools into the active environment
setup:
    pip install -c constraints.txt -e '.[dev]'

# Bring the code into shape
fmt:
    ruff check --fix
    ruff format

# Find what style and types forbid
lint:
    ruff check
    ruff format --check
    mypy

# Find ten lines that stand twice
clones:
    pylint --disable=all --enable=duplicate-code --min-similarity-lines=10 --ignore-imports=y \
        --ignore-docstrings=y --ignore-signatures=y flows operators models state

# Run the tests and list the lines that none of them reaches
coverage *args:
    pytest -m '' --cov=flows --cov=operators --cov=models --cov=state --cov-report=term-missing:skip-covered {{ args }}

# Run the tests, or the ones named
test *args:
    pytest {{ args }}

# Run the tests that need Kafka or take long
test-long *args:
    pytest -m 'kafka or long' {{ args }}

# All that CI looks at
check: lint clones test test-long

# Change the source a little at a time and see whether a test notices (extra: mutate)
mutate *args:
    python -m tests.mutation {{ args }}

# Kill a run at a hundred moments and compare what it wrote: some ten minutes
torture *args:
    python -m tests.torture {{ args }}

# Restore ten thousand checkpoints with anything inside: refused or used, never a crash
fuzz *args:
    python -m tests.fuzz.checkpoints {{ args }}

# Drive whole systems by seeds through crashes and faults, thousands overnight
simulate *args:
    python -m tests.simulation {{ args }}

# Run a whole system for an hour and tell whether memory, descriptors, threads or disk grow
soak *args:
    python -m tests.soak {{ args }}

# Take the log through the models; on an empty home the demo
run *args:
    headwater run {{ args }}

# Make the fits of a run with `training.trainer = "external"`, until Ctrl-C
fit:
    python -m bytewax.run flows.train

# Start a Kafka broker for a developer: loopback only, its data in the home
kafka:
    python tests/kafka/broker.py start

# Stop that broker
kafka-stop:
    python tests/kafka/broker.py stop

# Measure the throughput through that broker
bench-kafka *args: kafka
    python -m bench.bench_kafka {{ args }}

# Measure how long a prediction takes through that broker
bench-kafka-latency *args: kafka
    python -m bench.bench_kafka_latency {{ args }}

# Break a flow on Kafka in every way and compare what it wrote: some ten minutes
kafka-matrix *args:
    python -m tests.kafka.matrix {{ args }}

# Build the container images by Debian's buildah, as root, and use them: some four minutes
image *args:
    pytest -n0 -m '' tests/test_image.py {{ args }}

# Make a release in dist/: wheel, source archive, a list of all packages in it (SBOM), both images
release builder='docker':
    #!/usr/bin/env bash
    set -euo pipefail
    if [ {{ builder }} != none ] && ! command -v {{ builder }} >/dev/null; then
        echo "just release must have a builder of images; got {{ builder }}, which is not installed" \
            "(podman or buildah will do; 'just release none' leaves the images out)" >&2
        exit 2
    fi
    rm -rf dist
    python -m build --outdir dist
    wheel=$(echo dist/*.whl)
    version=$(basename "$wheel" | cut -d- -f2)
    aside=$(mktemp -d)
    trap 'rm -rf "$aside"' EXIT
    python -m venv "$aside"
    "$aside/bin/pip" install --quiet -c constraints.txt "$wheel[kafka,serve]"
    (cd "$aside" && bin/headwater --help >/dev/null)
    "$aside/bin/pip" uninstall --quiet --yes pip setuptools
    python -m cyclonedx_py environment "$aside" --pyproject pyproject.toml --output-reproducible \
        --output-file "dist/headwater-$version.cdx.json"
    if [ {{ builder }} != none ]; then
        {{ builder }} build --tag "headwater:$version" .
        {{ builder }} build --tag "headwater-serve:$version" --target serve .
    fi
    ls -l dist

# Measure the throughput, and the quality of the last run
bench:
    python bench/bench_throughput.py
    headwater export outcomes --out "${HEADWATER_HOME:-var}/outcomes.parquet"
    python bench/bench_quality.py "${HEADWATER_HOME:-var}/outcomes.parquet"

# Measure how the cost of an event grows with history, keys and windows: some five minutes
bench-growth *args:
    python -m bench.bench_growth {{ args }}

# Measure a search that remembers against the seeded grid, on exported outcomes (extra: search)
bench-search *args:
    python -m bench.bench_search {{ args }}

# Measure how far off estimates before labels are, and what they cost: some five minutes
bench-estimates *args:
    python -m bench.bench_estimates {{ args }}

# Measure alerts on data quality in healthy months and on faults: some ten minutes
bench-data-faults *args:
    python -m bench.bench_data_faults {{ args }}

# Measure how it adapts to streams whose rules are known: some half an hour
bench-adapt *args:
    python -m bench.bench_adapt {{ args }}
