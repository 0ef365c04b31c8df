#pragma once

// Finds the newest (or oldest) row of every series of a table without reading most rows: the work
// of TsextLast.
//
// Segments are visited newest first. One is passed by when each series it can have has been found
// with a time no row of it reaches. In a segment sorted by the series and their times only the
// border of each series' run is looked at; in others the vectors whose times can still matter.
// Where a row lies is all that is remembered; its columns are read when it is given out.

#include <cstdint>

#include "tsext/series_table.hpp"

#include "pg/base/datum.hpp"
#include "pg/catalog/options.hpp"
#include "pg/exec/vector_filter.hpp"

extern "C" {
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
}

namespace tsext::pg {

/// The two ends of a series.
enum class LastOrder : uint8_t { kNewest, kOldest };
/// Where rows whose time is NULL stand.
enum class LastNulls : uint8_t { kFirst, kLast };

/// What is asked for. All of it outlives the search.
struct LastQuery {
  Relation relation;
  int key_count;  ///< 1 ..; columns that make a series, distinct
  AttrNumber keys[kMaxSortColumns];
  AttrNumber time_attribute;
  Oid time_type;
  LastOrder order;
  LastNulls nulls;
  VectorFilters *filters;  ///< conditions whose zone maps are asked, all of them below too; or NULL
  ExprState *key_quals;    ///< conditions on the key columns alone, tested once a series; or NULL
  ExprState *row_quals;    ///< the others, tested on every row that could be the best; or NULL
  Bitmapset *quals_read;   ///< attributes that row_quals use
  Bitmapset *all_quals_read;  ///< … and those that key_quals use
  bool reads_tids;            ///< row_quals use ctid
  Bitmapset *output;          ///< attributes that the caller reads of the rows found
};

struct LastCounters {
  uint64_t series;
  uint64_t segments, segments_skipped;
  uint64_t vectors, vectors_read;
  uint64_t hot_rows;
  uint64_t rows_tested, rows_filtered;
  uint64_t passes;
};

struct LastSearch;

LastSearch *LastSearchBegin(const LastQuery *query, Snapshot snapshot, size_t memory_bytes,
                            MemoryContext context);
/// The next row found, in `slot`, a virtual slot of the table's row type with the output attributes
/// filled in; false at the end. By-reference values live in the per-tuple memory of `context`, to
/// be reset by the caller between rows.
bool LastSearchNext(LastSearch *search, ExprContext *context, TupleTableSlot *slot);
/// Starts again. same_parameters: nothing the conditions depend on has changed.
void LastSearchRescan(LastSearch *search, bool same_parameters);
void LastSearchEnd(LastSearch *search);
const LastCounters &LastSearchCount(const LastSearch *search);

}  // namespace tsext::pg
