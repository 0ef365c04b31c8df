#!/usr/bin/env bash
# Looks into the kernel objects of a built extension. Fails when
# - an object that is compiled for AVX2 or AVX-512 defines a weak symbol: the linker keeps one copy of an inline function
#   for the whole library, and that copy would then crash on a CPU without those instructions;
# - a loop that unpacks codes was not made into vector code of its level's width;
# - a reader moves memory by an instruction that needs an aligned address: words and results lie anywhere.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(uname -m)" = x86_64 ] || { echo "nothing to look at: the levels are those of x86-64"; exit 0; }
bad=0
for level in 1 3 4; do
  object=build/core/codec/kernels_v$level.o
  [ -f "$object" ] || { echo "$object is missing: build the extension first"; exit 1; }
  if [ $level != 1 ] && nm -C --defined-only "$object" | grep -E '^[0-9a-f]+ [WVu] '; then
    echo "$object defines the weak symbols above"
    bad=1
  fi
  # Widths 0, 32 and 64 may be plain fills and copies.
  objdump -d -C --no-show-raw-insn "$object" | awk -v level=$level -v object="$object" '
    /^[0-9a-f]+ <.*>:$/ {
      name = ""
      if (match($0, /(Unpack|UnpackFor|UnpackAlp)<[0-9]+>/)) {
        name = substr($0, RSTART, RLENGTH)
        functions[name]
      } else if (match($0, /(DeltaSum|RunningSum|Scale|Gather|AlpCodes|Sum|MinMax)\(/)) name = substr($0, RSTART, RLENGTH - 1)
      next
    }
    name == "" { next }
    level == 1 && /%xmm/ || level == 3 && /%ymm/ || level == 4 && /%zmm/ { vector[name]++ }
    /movdqa|movap[sd]|movnt/ && /\(/ && !/\(%r[sib]p/ { print object ": " name " needs aligned memory:" $0; bad = 1 }
    END {
      for (name in functions) {
        seen++
        width = name
        gsub(/[^0-9]/, "", width)
        if (width % 32 != 0 && vector[name] < 2) { print object ": " name " is not vector code of its level"; bad = 1 }
      }
      if (seen != 33 + 65 + 33) { print object ": " seen + 0 " unpacking functions where 131 should be"; bad = 1 }
      exit bad
    }' || bad=1

  # The loops of filters and aggregates. V1 takes the masks of two rows from a table of its own, which is aligned.
  object=build/core/vector/vector_kernels_v$level.o
  [ -f "$object" ] || { echo "$object is missing: build the extension first"; exit 1; }
  if [ $level != 1 ] && nm -C --defined-only "$object" | grep -E '^[0-9a-f]+ [WVu] '; then
    echo "$object defines the weak symbols above"
    bad=1
  fi
  objdump -d -C --no-show-raw-insn "$object" | awk -v level=$level -v object="$object" '
    /^[0-9a-f]+ <.*>:$/ {
      name = ""
      if (match($0, /(Filter|FilterNan|FilterAny|Total|TotalMasked|Squares|Runs)<.*>\(|(FilterRange|FilterCodesByTable|Progress|SumSteps)\(/) &&
          $0 !~ /<false, false, false>/) {
        name = substr($0, RSTART, RLENGTH - 1)
        gsub(/tsext::|\(anonymous namespace\)::/, "", name)
        functions[name]
      }
      next
    }
    name == "" { next }
    # Steps are summed in 256 bits at both levels.
    level == 1 && /%xmm/ || level == 3 && /%ymm/ || level == 4 && /%zmm/ || level == 4 && name == "SumSteps" && /%ymm/ { vector[name]++ }
    level > 1 && /movdqa|movap[sd]|movnt/ && /\(/ && !/\(%r[sib]p/ { print object ": " name " needs aligned memory:" $0; bad = 1 }
    END {
      for (name in functions) {
        seen++
        if (vector[name] < 2) { print object ": " name " is not vector code of its level"; bad = 1 }
      }
      # 8 comparisons, 2 for NaN, 3 lists; 7 totals of 3 types, with and without a mask; 2 squares; 3 runs; 4 others.
      if (seen != wanted) { print object ": " seen + 0 " functions where " wanted " should be"; bad = 1 }
      exit bad
    }' wanted=64 || bad=1
done
exit $bad
