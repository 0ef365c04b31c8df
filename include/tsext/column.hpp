#pragma once

// What a writer is given: one column of up to kMaxSegmentRows rows, already in the segment's sort
// order.

#include <cstdint>
#include <span>

#include "tsext/types.hpp"

namespace tsext {

/// One column of a segment to be written. Nothing is owned; the spans outlive the call.
///
/// count:      rows, 1..kMaxSegmentRows.
/// integers:   `count` values for the integer classes (bool: 0 or 1); slots of NULL rows hold
///             anything.
/// doubles:    `count` values for kFloat64.
/// floats:     `count` values for kFloat32.
/// bytes:      `count` values for the bytes classes, unless `codes` is used.
/// codes:      the same values as indexes into `dictionary`: a caller that has interned its strings
///             saves the writer a hash a row.
/// dictionary: the distinct strings, in any order; entries may be unused.
/// nulls:      bitmap of (count + 63) / 64 words, bit set = NULL, bits past `count` clear; nullptr
///             = no NULL.
/// width:      bytes a value for kFixed (16 for kUuid), else 0.
struct ColumnView {
  PhysicalType type = PhysicalType::kInt64;
  uint32_t width = 0;
  uint32_t count = 0;
  std::span<const int64_t> integers;
  std::span<const double> doubles;
  std::span<const float> floats;
  std::span<const ByteView> bytes;
  std::span<const uint32_t> codes;
  std::span<const ByteView> dictionary;
  const uint64_t *nulls = nullptr;

  bool IsNull(uint32_t row) const noexcept {
    return nulls != nullptr && ((nulls[row / 64] >> (row % 64)) & 1) != 0;
  }
};

}  // namespace tsext
