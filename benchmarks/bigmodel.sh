#!/usr/bin/env bash
# Loads a Llama of 16 GB, and runs it with half of its layers elsewhere: ours, and safetensors and Accelerate in Python; checks that all
# device maps give the same logits, and prints the ratios last.
#
#   benchmarks/bigmodel.sh COMMAND [arguments]     COMMAND starts BigModel, for instance artifacts/gpu/NAME/run.sh BigModel
#
# Settings: FOLDER (for the checkpoint, a new one by default; deleted at the end), SMALL=1 (a few MB), DEVICE (cuda), PYTHON (python3),
# CHECK=1 (all maps also of the large model), PEER=none (ours alone), TO ("cpu"; "cpu disk" for both), TOKENS (8), LIMIT (120 s for each start).
set -uo pipefail

if [[ $# -lt 1 ]]; then
  sed -n '2,8p' "$0" >&2
  exit 2
fi

here=$(cd "$(dirname "$0")" && pwd)
folder=${FOLDER:-$(mktemp -d)}
options=(--folder "$folder" --device "${DEVICE:-cuda}" --tokens "${TOKENS:-8}" ${SMALL:+--small})
logs=$(mktemp -d)
trap 'rm -rf "$folder" "$logs"' EXIT
mkdir -p "$folder"

status=0
ours() { timeout -k 5 "${LIMIT:-120}" "${command[@]}" "$@" "${options[@]}" 2>&1 | tee -a "$logs/all"; [[ ${PIPESTATUS[0]} -eq 0 ]] || { echo "ours: $1 FAILED"; status=1; }; }
peer() { [[ ${PEER:-} == none ]] || { timeout -k 5 "${LIMIT:-120}" "${PYTHON:-python3}" "$here/bigmodel_peer.py" "$@" "${options[@]}" 2>&1 | tr "\r" "\n" | grep -vE "Warning|w/s" | tee -a "$logs/all"; [[ ${PIPESTATUS[0]} -eq 0 ]] || { echo "python: $1 FAILED"; status=1; }; }; }
command=("$@")

if [[ ${PEER:-} == none ]]; then ours write; else peer write; fi
[[ -n $(ls "$folder") ]] || exit 1
[[ -n ${CHECK-${SMALL:-}} ]] && ours check
ours load
peer load
for place in ${TO:-cpu}; do
  ours offload --to "$place"
  peer offload --to "$place"
done

awk '
  $1 != "RESULT" { next }
  $2 == "load" { if ($5 > best["load", $3]) best["load", $3] = $5 }
  $2 == "offload" { time[$4, $3] = $5; logits[$4, $3] = $6; places[$4] = 1 }
  END {
    printf "%-28s %10s %10s %7s\n", "", "ours", "python", "ratio"
    printf "%-28s %10.2f %10.2f %7s\n", "load, GiB/s", best["load", "ours"], best["load", "python"], best["load", "python"] ? sprintf("%.2f", best["load", "ours"] / best["load", "python"]) : "-"
    for (place in places) {
      a = time[place, "ours"]; b = time[place, "python"]
      printf "%-28s %10.2f %10.2f %7s\n", "token, half on " place ", ms", a, b, (a && b ? sprintf("%.2f", a / b) : "-")
      if (!a || !b) continue
      n = split(logits[place, "ours"], x, ","); split(logits[place, "python"], y, ","); error = largest = 0
      for (i = 1; i <= n; i++) {
        d = x[i] - y[i]; if (d < 0) d = -d; if (d > error) error = d
        v = y[i] < 0 ? -y[i] : y[i]; if (v > largest) largest = v
      }
      printf "  logits differ by up to %.1f %% of the largest of %d\n", 100 * error / largest, n
    }
  }' "$logs/all"
exit $status
