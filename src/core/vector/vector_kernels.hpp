#pragma once

// The inner loops of filters and aggregates as one table of functions per instruction set.
//
// No pointer need be aligned. Words are bitmaps of 64 rows, lowest bit first.

#include <cstddef>
#include <cstdint>

#include "tsext/kernels.hpp"
#include "tsext/slice.hpp"

namespace tsext {

/// Where a filter's bits go: bit i of `out` (kVectorSize / 64 words, all written) is
/// (the predicate of row i) xor invert, for rows below `rows` whose bit in `nulls` is clear; other
/// bits are clear. Values may be read, but do not matter, up to the next multiple of 64.
struct FilterTarget {
  uint32_t rows;  ///< 1..kVectorSize
  bool invert;
  const uint64_t *nulls;  ///< nullptr = none
  uint64_t *out;
};

/// Rows of a vector that count: those in [begin, end) that `keep` has and `drop` has not (nullptr:
/// all, none). begin < end.
struct RowMask {
  uint32_t begin, end;
  const uint64_t *keep;
  const uint64_t *drop;
};

struct VectorKernels {
  // Predicates; IEEE comparisons: false for NaN.
  void (*less_integers)(const int64_t *values, int64_t constant, const FilterTarget &target);
  void (*equal_integers)(const int64_t *values, int64_t constant, const FilterTarget &target);
  /// low <= value <= high
  void (*range_integers)(const int64_t *values, int64_t low, int64_t high,
                         const FilterTarget &target);
  void (*any_integers)(const int64_t *values, const int64_t *constants, size_t constant_count,
                       const FilterTarget &target);
  void (*less_doubles)(const double *values, double constant, const FilterTarget &target);
  void (*less_equal_doubles)(const double *values, double constant, const FilterTarget &target);
  void (*equal_doubles)(const double *values, double constant, const FilterTarget &target);
  void (*nan_doubles)(const double *values, const FilterTarget &target);
  void (*any_doubles)(const double *values, const double *constants, size_t constant_count,
                      const FilterTarget &target);
  void (*less_floats)(const float *values, double constant, const FilterTarget &target);
  void (*less_equal_floats)(const float *values, double constant, const FilterTarget &target);
  void (*equal_floats)(const float *values, double constant, const FilterTarget &target);
  void (*nan_floats)(const float *values, const FilterTarget &target);
  void (*any_floats)(const float *values, const double *constants, size_t constant_count,
                     const FilterTarget &target);
  /// passes[code] != 0. Codes past the target's rows are not looked up.
  void (*look_up_codes)(const uint32_t *codes, const uint8_t *passes, size_t passes_count,
                        const FilterTarget &target);

  uint32_t (*count_rows)(const RowMask &rows);

  // Totals of a run of values, or of the rows of a mask; by SummaryParts: only those parts of a
  // summary, and `count`, are written. The minimum of reals is that of the values that are not NaN,
  // infinity without one. The sum of reals is the same at every level: value i goes to lane i % 16,
  // counted from the first value or, with a mask, from the vector's first row, and lanes are added
  // in pairs.
  void (*total_doubles[8])(const double *values, uint32_t count, RealSummary *summary);
  void (*total_floats[8])(const float *values, uint32_t count, RealSummary *summary);
  void (*total_integers[8])(const int64_t *values, uint32_t count, IntegerSummary *summary);
  void (*total_masked_doubles[8])(const double *values, const RowMask &rows, RealSummary *summary);
  void (*total_masked_floats[8])(const float *values, const RowMask &rows, RealSummary *summary);
  void (*total_masked_integers[8])(const int64_t *values, const RowMask &rows,
                                   IntegerSummary *summary);
  /// Sum of (value - center)^2, in the same lanes.
  double (*squares_of_doubles)(const double *values, const RowMask &rows, double center);
  double (*squares_of_floats)(const float *values, const RowMask &rows, double center);

  /// out[i] = start + step * i, modulo 2^64, for `rows` rows.
  void (*progress)(uint64_t start, uint64_t step, uint32_t rows, uint64_t *out);
  /// In place, kVectorSize values modulo 2^32: steps[i] becomes the sum of steps[j] + base for
  /// 0 < j <= i; steps[0] does not matter.
  void (*sum_steps)(uint32_t *steps, uint32_t base);

  // See slice.hpp.
  uint32_t (*runs_of_integers)(const int64_t *keys, uint32_t rows, uint16_t *begins);
  uint32_t (*runs_of_codes)(const uint32_t *keys, uint32_t rows, uint16_t *begins);
  uint32_t (*ascending_runs)(const int64_t *values, uint32_t rows, uint16_t *begins);
};

/// The tables; those above DetectSimdLevel() must not be called.
extern const VectorKernels kVectorKernelsV1;
extern const VectorKernels kVectorKernelsV3;
extern const VectorKernels kVectorKernelsV4;

/// The table of CurrentSimdLevel(); nullptr: not chosen yet.
extern const VectorKernels *current_vector_kernels;

/// Inline, because a short slice takes but a few nanoseconds.
inline const VectorKernels &CurrentVectorKernels() noexcept {
  if (current_vector_kernels == nullptr) SetSimdLevel(SimdLevel::kAuto);
  return *current_vector_kernels;
}

}  // namespace tsext
