#pragma once

// What footers say of the rows of a whole segment, or of one vector of it.

#include <cstdint>

#include "tsext/segment.hpp"

#include "pg/exec/batch_scan.hpp"

namespace tsext::pg {

/// A column over these rows, as far as it is known. Integer classes are in the integers, floats in
/// the reals.
struct FooterColumn {
  PhysicalType type;
  bool has_null_count;
  uint64_t nulls;
  bool has_range;  ///< some value is not NULL, and min and max are known
  int64_t min_integer, max_integer;
  double min_real, max_real;
  bool has_sum;  ///< of floats: finite, so that neither NaN nor infinity is among them
  __int128 integer_sum;
  double real_sum;
  bool has_ends;  ///< values at the least and the greatest time, by the table's time column
  int64_t first_integer, last_integer;
  double first_real, last_real;
  int64_t first_time, last_time;
  const ColumnFooter *footer;  ///< of a segment; nullptr of a vector
};

class FooterSource {
 public:
  static constexpr int kWholeSegment = -1;

  FooterSource(const SegmentHead &head, int vector) : head_(head), vector_(vector) {}

  uint32_t rows() const noexcept {
    return vector_ == kWholeSegment ? head_.row_count()
                                    : head_.VectorRows(static_cast<uint32_t>(vector_));
  }
  /// The table's time column when the segment was written; 0: none.
  AttrNumber time_attribute() const noexcept { return head_.time_attribute(); }
  /// False when the segment lacks the column.
  bool Column(AttrNumber attribute, FooterColumn *column) const;

 private:
  void ReadSegment(const ColumnFooter &footer, FooterColumn *column) const;
  void ReadVector(const ColumnFooter &footer, const VectorFooter &vector,
                  FooterColumn *column) const;

  const SegmentHead &head_;
  int vector_;
};

}  // namespace tsext::pg
