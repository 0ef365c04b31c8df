#pragma once

// Vector filters at work: the inside of a batch scan, not for its callers.

#include <cstdint>

#include "tsext/filter.hpp"

#include "pg/exec/batch_scan.hpp"
#include "pg/table/segment_reader.hpp"

namespace tsext::pg {

/// Computes the constants. Narrows [from, to] to the times a row can have; false when no row can
/// pass.
bool StartFilters(VectorFilters *filters, AttrNumber time_attribute, Oid time_type, int64_t *from,
                  int64_t *to);
/// Attribute numbers the filters look at; nullptr for none.
const Bitmapset *FilterAttributes(const VectorFilters *filters);
/// Whether a segment whose first and last rows have these keys may have a row that passes.
/// flags: SegmentRow.flags.
bool MayHaveKey(const VectorFilters *filters, int32_t flags, ByteView lo, ByteView hi);
/// Whether a segment of these times may have a row that passes: its time range meets that of all
/// filters together, but perhaps none of the ranges of one.
bool MayHaveTimes(const VectorFilters *filters, int64_t tmin, int64_t tmax);
/// Switches to a segment; what its footer says of its rows.
Verdict JudgeSegment(VectorFilters *filters, const SegmentHead &head);
/// Switches to other rows without the help of footers; then RunFilters goes with is_cold = false.
void ForgetDictionaries(VectorFilters *filters);
/// Narrows [*begin, *end), vectors of the segment that `reader` has open, to those that can have
/// the values its sort key begins with: rows of one value are neighbours.
void FindKeyVectors(VectorFilters *filters, SegmentReader *reader, uint32_t *begin, uint32_t *end);
/// What the zone maps say of the rows of a vector of that segment.
Verdict JudgeVector(VectorFilters *filters, const SegmentHead &head, uint32_t vector);

enum class FilterResult : uint8_t {
  kRows,
  kNoRows,
  kSegmentOver  ///< no row of the whole segment can pass: its dictionary has no passing value
};
/// Narrows `selection`, the rows of the scan's current batch, to those that pass every filter.
/// vector verdicts of a cold batch are those of the last JudgeVector.
FilterResult RunFilters(VectorFilters *filters, BatchScan *scan, bool is_cold,
                        Selection *selection);

}  // namespace tsext::pg
