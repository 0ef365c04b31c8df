#pragma once

// One segment opened for reading: head, blocks on demand, vectors on demand. Errors name table,
// chunk, segment and column.

#include <cstdint>
#include <optional>

#include "tsext/segment.hpp"

#include "pg/base/datum.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/table/store.hpp"

namespace tsext::pg {

struct SegmentReader;

/// Makes a reader for segments of `relation`; owned by `context` and everything in it. Holds the
/// TOAST relation open (AccessShareLock) until SegmentReaderClose.
SegmentReader *SegmentReaderCreate(Relation relation, Snapshot snapshot, MemoryContext context);
/// Reads the rows as `descriptor` describes them, instead of the relation's own: ALTER TABLE reads
/// the rows of before with the descriptor of before. Before the first segment; outlives the reader.
void SegmentReaderUseDescriptor(SegmentReader *reader, TupleDesc descriptor);
/// Reads through a small ring of buffers from now on: for scans that would push everything else out
/// of shared_buffers.
void SegmentReaderUseRing(SegmentReader *reader);
/// Switches to a segment (reads and parses its head, from the backend's cache when there). row must
/// outlive its use.
void SegmentReaderOpen(SegmentReader *reader, const SegmentRow *row);
const SegmentHead &SegmentReaderHead(const SegmentReader *reader);
/// Vector `index` of attribute `attribute`, decoded; reads the column's block on first use. nullptr
/// when the segment does not have the attribute (added later: use getmissingattr). Valid until the
/// same attribute is read again or the segment changes.
const Vector *SegmentReaderVector(SegmentReader *reader, AttrNumber attribute, uint32_t index);
/// One value of one row; for fetches by tuple id.
Datum SegmentReaderValue(SegmentReader *reader, AttrNumber attribute, uint32_t row, bool *is_null);
/// Name of the codec of a column, for tsext.columns.
const char *SegmentReaderEncoding(SegmentReader *reader, AttrNumber attribute);
void SegmentReaderClose(SegmentReader *reader);

}  // namespace tsext::pg
