#!/usr/bin/env bash
# Trains the demo's language model in each precision from the same start and prints how far the held-out losses are from float32's.
#
#   benchmarks/convergence.sh COMMAND [arguments]     COMMAND starts examples/text-generation.cs with these arguments, for instance
#                                                     artifacts/gpu/NAME/run.sh text-generation --text data/text/jargon.txt
#
# Settings: PRECISIONS ("no bf16 fp16": ACCELERATE_MIXED_PRECISION of each run, with other variables behind colons, as in
# "fp8:ACCELERATE_FP8_BACKEND=TE"), LIMIT (300 s for each run), OUT (a folder for the logs). Exit code 1 if bf16 or fp8 is off by more
# than 1 %, or fp16 by more than 0.5 %.
set -uo pipefail

if [[ $# -lt 1 ]]; then
  sed -n '2,10p' "$0" >&2
  exit 2
fi

logs=${OUT:-$(mktemp -d)}
mkdir -p "$logs"
reference=
status=0
rows="| precision | held-out loss by epoch | against float32 |
|---|---|---|"
for run in ${PRECISIONS:-no bf16 fp16}; do
  IFS=: read -ra parts <<< "$run"
  log=$logs/${run//[^A-Za-z0-9_]/-}.log
  env ACCELERATE_MIXED_PRECISION="${parts[0]}" "${parts[@]:1}" timeout -k 5 "${LIMIT:-300}" "$@" > "$log" 2>&1
  losses=$(sed -n 's/.*held-out loss after epoch [0-9]*: \([0-9.]*\).*/\1/p' "$log" | tr '\n' ' ')
  last=$(awk '{ print $NF }' <<< "$losses")
  if [[ -z $last ]]; then
    echo "$run did not finish:"
    tail -n 5 "$log"
    status=1
    continue
  fi
  reference=${reference:-$last}
  [[ ${parts[0]} == fp16 ]] && bound=0.5 || bound=1
  difference=$(awk -v a="$last" -v b="$reference" 'BEGIN { printf "%+.2f", 100 * (a - b) / b }')
  awk -v d="$difference" -v bound="$bound" 'BEGIN { exit !(d > bound || d < -bound) }' && status=1
  rows+=$'\n'"| $run | $losses| $difference % |"
done
echo "$rows"
exit $status
