#pragma once

// What the footer says of a column, computed before it is encoded.

#include <array>
#include <cstdint>
#include <memory_resource>
#include <span>

#include "tsext/column.hpp"
#include "tsext/segment.hpp"

namespace tsext {

/// The time column of the segment being written, to find first and last values.
struct TimeColumn {
  const ColumnView *values = nullptr;  ///< nullptr = none
  // Rows of the least (earliest of equals) and greatest (latest of equals) time, and the times;
  // count of rows with a time 0 = none.
  bool any = false;
  uint32_t first_row = 0, last_row = 0;
  int64_t first_time = 0, last_time = 0;

  explicit TimeColumn(const ColumnView *column);
};

struct ColumnSummary {
  explicit ColumnSummary(std::pmr::memory_resource *memory) : footer(memory) {}
  ColumnFooter footer;
  std::array<VectorFooter, kMaxVectorsPerSegment> vectors;
};

/// Fills everything but offset, length and checksum. For bytes classes also without
/// distinct_estimate, min and max, which the block's encoder knows.
void Summarize(const ColumnView &column, const TimeColumn &time, ColumnSummary &out);

/// Makes `statistic` the first kStatisticBytes bytes of `value`.
void SetBytes(ByteView value, Statistic &statistic);

/// PostgreSQL's order of floats: NaN greatest, -0 equal to 0.
inline bool FloatLess(double left, double right) noexcept {
  return right != right ? left == left : left < right;
}

}  // namespace tsext
