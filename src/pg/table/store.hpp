#pragma once

// ColdStore: segments as "values" of a table's own TOAST relation, cut into pieces of about a page.
// Append, read, free and nothing else, so that another store can take its place. Visibility, WAL,
// crash safety and vacuum are heap's.

#include <cstddef>
#include <cstdint>

#include "tsext/status.hpp"

#include "pg/base/postgres.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "storage/buf.h"
}

namespace tsext::pg {

/// A value id not in use in this TOAST relation. toast: opened with RowExclusiveLock by the caller.
Oid StoreNewValueId(Relation toast);

/// Writes `size` bytes as value row->value_id and fills row->npieces, nbytes and piece_pages. One
/// heap insert a piece under wal_level = logical (HEAP_INSERT_NO_LOGICAL), else heap_multi_insert;
/// the TOAST index is kept.
void StoreAppend(Relation toast, SegmentRow *row, const std::byte *data, size_t size,
                 CommandId cid);

/// Copies bytes [offset, offset + size) of a segment to `out`, fetching only the pieces they lie
/// in. piece_pages is a hint: what does not match is looked up in the TOAST index. Raises
/// ERRCODE_DATA_CORRUPTED when a piece is missing or has an unexpected length. toast:
/// AccessShareLock held.
void StoreRead(Relation toast, const SegmentRow *row, Snapshot snapshot, size_t offset, size_t size,
               std::byte *out);

/// The same, but says what is wrong instead of raising it, for callers who can name the table.
/// strategy: ring for scans that are large against shared_buffers, or nullptr.
Status StoreTryRead(Relation toast, const SegmentRow *row, Snapshot snapshot, size_t offset,
                    size_t size, std::byte *out, BufferAccessStrategy strategy);

/// Deletes the pieces; never waits: the caller has deleted the directory row and so owns the
/// segment.
void StoreFree(Relation toast, const SegmentRow *row, CommandId cid);

/// Deletes a segment: its directory row, its pieces, its part of the totals. False when somebody
/// else has deleted it or is about to; then nothing is done.
bool RemoveSegment(Relation toast, const SegmentRow *row);

}  // namespace tsext::pg
