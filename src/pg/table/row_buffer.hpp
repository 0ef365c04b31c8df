#pragma once

// Rows on their way to segments, kept column by column: what bulk writers, compaction and merge
// fill and WriteSegments sorts and encodes. Strings are interned per column while they repeat.

#include <cstdint>

#include "tsext/vector.hpp"

#include "pg/base/datum.hpp"
#include "pg/catalog/options.hpp"

namespace tsext::pg {

struct RowBuffer;

/// An empty buffer in its own child context of `parent`.
RowBuffer *RowBufferCreate(Relation relation, const TableOptions *options, MemoryContext parent);
/// Whether a row may go to a segment: false when its time is NULL or ±infinity.
bool RowBufferTakes(const RowBuffer *buffer, TupleTableSlot *slot);
/// Appends a row (all attributes that are not dropped; deformed here when needed; values are copied
/// and detoasted).
void RowBufferAppend(RowBuffer *buffer, TupleTableSlot *slot);
/// Appends rows [from, from + count) of decoded vectors: vectors[i] belongs to attribute i + 1
/// (NULL for dropped or missing attributes; missing ones take getmissingattr). Merge uses it.
void RowBufferAppendVectors(RowBuffer *buffer, const Vector *const *vectors, uint32_t from,
                            uint32_t count);
int64_t RowBufferRows(const RowBuffer *buffer);
/// Bytes of memory in use, including what sorting and encoding will need.
size_t RowBufferMemory(const RowBuffer *buffer);
/// The time of row `row` in time units; 0 when the table has no time column.
int64_t RowBufferTime(const RowBuffer *buffer, int64_t row);
/// Stores row `row` in `slot` as a virtual tuple whose values point into the buffer.
void RowBufferGetRow(const RowBuffer *buffer, int64_t row, TupleTableSlot *slot);
/// Forgets all rows, keeps the memory's context.
void RowBufferReset(RowBuffer *buffer);
/// Forgets all rows but these, which become rows 0, 1, …
void RowBufferKeep(RowBuffer *buffer, const int64_t *rows, int64_t count);
void RowBufferDestroy(RowBuffer *buffer);

}  // namespace tsext::pg
