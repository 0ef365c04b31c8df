#pragma once

// Hot rows in batches: tuples on heap pages that stay pinned while the batch is looked at, so that
// a column is taken out of them only when it is asked for and strings are used where they lie.

#include <cstdint>

#include "tsext/selection.hpp"
#include "tsext/vector.hpp"

#include "pg/base/datum.hpp"

extern "C" {
#include "access/relscan.h"
#include "executor/tuptable.h"
}

namespace tsext::pg {

struct HotBatch;

/// A column to be taken out of the rows.
struct HotColumn {
  AttrNumber attribute;
  DatumClass type;
  Vector *vector;  ///< target; values of bytes classes point into pages or `context` of the batch
};

/// Starts to read the hot rows of `scan`, a scan that heap or we began. Everything lives in a child
/// of `context`.
HotBatch *HotBatchCreate(Relation relation, TableScanDesc scan, MemoryContext context);
/// Collects the next rows; how many, 0 at the end. What was given out for the last ones is void.
uint32_t HotBatchNext(HotBatch *batch);
/// Drops the rows that are not selected: those that are move together and get new numbers.
void HotBatchKeep(HotBatch *batch, const Selection &selection);
/// Takes columns (ascending by attribute) out of the rows.
void HotBatchColumns(HotBatch *batch, const HotColumn *columns, int count);
/// Puts the first `last_attribute` columns of a row into the arrays of a virtual slot; the values
/// hold until HotBatchNext. tts_tid is the row's.
void HotBatchRow(HotBatch *batch, uint32_t row, AttrNumber last_attribute, TupleTableSlot *slot);
/// Lets go of the pages before a rescan of the scan; the next rows are the first again.
void HotBatchRelease(HotBatch *batch);
/// Before the end of the scan. The memory goes with the context.
void HotBatchEnd(HotBatch *batch);

}  // namespace tsext::pg
