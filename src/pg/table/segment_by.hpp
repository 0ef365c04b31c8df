#pragma once

// Choosing segment-by columns from buffered rows when the table's owner has not.

#include "pg/table/row_columns.hpp"

namespace tsext::pg {

struct SegmentByChoice {
  int count;
  AttrNumber attributes[kMaxSortColumns];
  bool is_certain;  // enough rows were seen to hold the table to it
};

/// The columns that tell series apart: repeating text-like columns, enums, and integers of few
/// values named like series_id. Fewest first: one is added only while readings of what would be one
/// series still fall on equal times. None when the rows look like a single series.
SegmentByChoice ChooseSegmentBy(const RowBuffer *buffer, const TableOptions *options);

}  // namespace tsext::pg
