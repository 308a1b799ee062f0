#!/bin/sh
# Runs the fuzz tests again and again, each time with another seed, for the given number of minutes (default 5).
# Stops at the first failure and says which seed shows it again. What inspection fails on is kept in tests/fuzz/found
# and tried first the next time. FUZZ_CORPUS names further folders of samples, with colons between.
set -eu
cd "$(dirname "$0")/.."
end=$(($(date +%s) + ${1:-5} * 60))
rounds=0
while [ "$(date +%s)" -lt "$end" ]; do
    seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
    if ! FUZZ_SEED="$seed" FUZZ_SECONDS=30 .venv/bin/python -m pytest tests/fuzz --quiet --timeout=0 -o session_timeout=3600 --hypothesis-seed="$seed"; then
        echo "Again with: FUZZ_SEED=$seed FUZZ_SECONDS=30 .venv/bin/python -m pytest tests/fuzz --hypothesis-seed=$seed" >&2
        exit 1
    fi
    rounds=$((rounds + 1))
done
echo "$rounds rounds without a failure"
