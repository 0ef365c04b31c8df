#pragma once

// Sorting the rows of one chunk by (segment-by columns, order-by columns or time). Stable; input
// that is in order already, whole or within a series, is recognised.

#include <cstdint>

#include "pg/table/row_columns.hpp"

namespace tsext::pg {

/// What the rows of a buffer are sorted by.
struct SortColumns {
  int segment_by_count;
  AttrNumber segment_by[kMaxSortColumns];
  int order_by_count;  // explicit columns only; 0 = by time, if there is a time column
  AttrNumber order_by[kMaxSortColumns];
};

/// Sorts rows of one buffer.
struct RowSorter {
  const RowBuffer *buffer;
  /// Rank of each row's segment-by values, dense; nullptr = one series.
  uint32_t *series;
  uint32_t series_count;
  /// Ranks of each row's order-by columns; by_time instead when there are none.
  int order_count;
  uint32_t *order[kMaxSortColumns];
  bool by_time;
  // Work space, grown as needed.
  uint32_t *rows_copy;
  uint64_t *keys, *keys_copy;
  int64_t rows_capacity, keys_capacity;

  uint32_t SeriesOf(uint32_t row) const { return series == nullptr ? 0 : series[row]; }
};

/// Ranks the buffer's rows. Strings rank by memcmp, floats in PostgreSQL's order, NULL last. Memory
/// from the current context.
RowSorter *RowSorterCreate(const RowBuffer *buffer, const SortColumns &columns);
/// Sorts `count` row numbers, ascending on entry.
void SortRows(RowSorter *sorter, uint32_t *rows, uint32_t count);

}  // namespace tsext::pg
