# `just check` is what the CI runs, word for word.

# All checks.
check:
    .ci/run

# All tests, or those whose names contain `name`.
test name="":
    cargo test {{ name }}

# Writes expected pages and snapshots anew; look at the difference.
bless:
    VELO_BLESS=1 INSTA_UPDATE=always cargo test

# The benchmarks.
bench:
    cargo bench

# The quickstart.
demo:
    cargo run -- run demo/quickstart/trades.sql
