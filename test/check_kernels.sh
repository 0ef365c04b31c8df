#!/usr/bin/env bash
# Fails when an object that is compiled for AVX2 or AVX-512 defines a weak symbol: the linker keeps one copy of an inline
# function for the whole library, and that copy would then crash on a CPU without those instructions.
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s nullglob
objects=(build/core/*/*_v3.o build/core/*/*_v4.o)
[ ${#objects[@]} -gt 0 ] || { echo "no kernel objects under build/core: build the extension first"; exit 1; }
bad=0
for object in "${objects[@]}"; do
  if nm -C --defined-only "$object" | grep -E '^[0-9a-f]+ [WVu] '; then
    echo "$object defines the weak symbols above"
    bad=1
  fi
done
exit $bad
