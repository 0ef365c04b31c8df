#pragma once

// One segment opened for reading: head, blocks on demand, vectors on demand. Errors name table,
// chunk, segment and column.

#include <cstdint>
#include <optional>
#include <span>

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
/// outlive its use. The segment that is open already stays open with all that was read of it.
void SegmentReaderOpen(SegmentReader *reader, const SegmentRow *row);
const SegmentHead &SegmentReaderHead(const SegmentReader *reader);
/// Vector `index` of attribute `attribute`, decoded; reads the column's block on first use. nullptr
/// when the segment does not have the attribute (added later: use getmissingattr). Valid until the
/// same attribute is read again or the segment changes.
const Vector *SegmentReaderVector(SegmentReader *reader, AttrNumber attribute, uint32_t index);
/// The same as codes into SegmentReaderDictionary; nullptr when the segment lacks the attribute or
/// does not store it as a dictionary. Valid until codes of the same attribute are read again or the
/// segment changes.
const CodeVector *SegmentReaderCodes(SegmentReader *reader, AttrNumber attribute, uint32_t index);
/// The distinct values of an attribute of a bytes class, empty when it is not stored as a
/// dictionary. Valid until the segment changes.
std::span<const ByteView> SegmentReaderDictionary(SegmentReader *reader, AttrNumber attribute);
/// The runs of equal values (integer classes) or codes (dictionaries) of an attribute; empty when
/// the segment lacks it, or does not store it as runs. Valid until the segment changes.
std::span<const ValueRun> SegmentReaderRuns(SegmentReader *reader, AttrNumber attribute);
/// What has been read since the reader was made: bytes of blocks, and values decoded from them.
struct SegmentReaderCounters {
  uint64_t bytes_read, values_decoded;
};
const SegmentReaderCounters &SegmentReaderCount(const SegmentReader *reader);
/// One value of one row; for fetches by tuple id.
Datum SegmentReaderValue(SegmentReader *reader, AttrNumber attribute, uint32_t row, bool *is_null);
/// Values of some rows of the current segment, ascending, as Datums in the current memory context,
/// and whether they are NULL: for who wants few rows of many columns. All columns share one decoder
/// and one buffer, so that they stay in the CPU's cache.
void SegmentReaderRows(SegmentReader *reader, AttrNumber attribute, const uint32_t *rows,
                       uint32_t count, Datum *values, bool *nulls);
/// Name of the codec of a column, for tsext.columns.
const char *SegmentReaderEncoding(SegmentReader *reader, AttrNumber attribute);
void SegmentReaderClose(SegmentReader *reader);

}  // namespace tsext::pg
