#pragma once

// The loops of the aggregates: counts, sums, extremes over a slice of a vector. NULLs do not count.

#include <cstdint>

#include "tsext/selection.hpp"
#include "tsext/vector.hpp"

namespace tsext {

/// Rows begin .. end - 1 of a vector, those of them that `selection` has (nullptr = all).
struct Slice {
  uint32_t begin = 0;
  uint32_t end = 0;
  const Selection *selection = nullptr;
};

/// Selected rows.
uint32_t CountRows(const Slice &slice) noexcept;
/// Selected rows that are not NULL.
uint32_t CountValues(const Vector &vector, const Slice &slice) noexcept;
/// First or last selected row that is not NULL (any when `vector` is nullptr); -1: none.
int FirstRow(const Vector *vector, const Slice &slice) noexcept;
int LastRow(const Vector *vector, const Slice &slice) noexcept;

/// Integer classes. count: values that are neither NULL nor deselected; with 0 the rest is 0.
struct IntegerSummary {
  uint32_t count = 0;
  int64_t min = 0, max = 0;
  __int128 sum = 0;
};
/// Float classes, float4 widened. NaN is the greatest value; sums follow IEEE (the order of
/// addition is not that of the rows).
struct RealSummary {
  uint32_t count = 0;
  double min = 0, max = 0;
  double sum = 0;
};
/// Which parts of a summary are wanted; the others are unspecified, `count` is always right.
enum SummaryParts : uint32_t { kSummarySum = 1, kSummaryMin = 2, kSummaryMax = 4 };
IntegerSummary SummarizeIntegers(const Vector &vector, const Slice &slice, uint32_t parts);
RealSummary SummarizeReals(const Vector &vector, const Slice &slice, uint32_t parts);

/// Sum of squared distances from `center` over the same values: for variances.
double SumSquaredDistances(const Vector &vector, const Slice &slice, double center);

/// Where runs begin: row 0 and every row whose key differs from the one before. begins has room
/// for kVectorSize + 1 entries; entry `result` is `rows`. Returns the number of runs.
uint32_t FindRuns(const int64_t *keys, uint32_t rows, uint16_t *begins) noexcept;
uint32_t FindRuns(const uint32_t *keys, uint32_t rows, uint16_t *begins) noexcept;
/// Where ascending runs begin: row 0 and every row whose value is less than the one before it.
uint32_t FindAscendingRuns(const int64_t *values, uint32_t rows, uint16_t *begins) noexcept;
/// Merges two ascending lists of run begins (each ending with `rows`) into one without duplicates.
uint32_t MergeRuns(const uint16_t *a, uint32_t a_count, const uint16_t *b, uint32_t b_count,
                   uint16_t *out) noexcept;

}  // namespace tsext
