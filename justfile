# Lists the recipes.
default:
    @just --list --unsorted

# Everything that is quick, before a commit: format, lints, tests, docs, generated files, dependencies.
check:
    .ci/run format lint test doc generated deps

# The tests, or those whose name contains WORD.
test *WORD:
    cargo test {{WORD}}

# Writes what is generated: the CRDs, for kubectl and for the chart, and the pages of the reference: commands, exit codes, fields, conditions, metrics.
generate:
    cargo run --locked --quiet -- crd --dir crds --dir charts/poolkeeper/files/crds
    POOLKEEPER_GENERATE=1 cargo test --locked --quiet --lib the_page_of
    POOLKEEPER_GENERATE=1 cargo test --locked --quiet --test book the_summary

# The site, in target/site.
site:
    scripts/ci/site.sh --build

# Writes what the program is expected to print: tests/cli/snapshots. Read the difference before you commit it.
snapshots:
    INSTA_UPDATE=always cargo test --locked --test cli texts

# A pool of processes works through the example's tasks.
local *ARGS:
    cargo run -- run --local --workers 3 --cooldown 2s {{ARGS}} --tasks examples/tasks.txt -- examples/limited-agent.sh

# What takes longer: model, faults, breaks of the protocol, crashes, real Docker, a real cluster, the README's first command.
e2e:
    .ci/run model invariants breaks crash docker conformance cluster failover first

# The figures of docs/performance.md.
bench:
    cargo bench --locked
    scripts/bench-run.sh
    scripts/bench-cycle.sh
    scripts/bench-look.sh

# Known weaknesses of the dependencies. Needs github.com.
advisories:
    cargo deny --locked check advisories

# All that CI does.
ci:
    .ci/run
