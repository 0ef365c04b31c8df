#pragma once

// The segment directory, tsext.segment: one immutable row a segment, and tsext.store_total, the
// running totals. `store` is the OID of the table's TOAST relation (pg_class.reltoastrelid), which
// holds the bytes.

#include <cstdint>

#include "tsext/types.hpp"

#include "pg/base/postgres.hpp"

extern "C" {
#include "storage/itemptr.h"
#include "utils/snapshot.h"
}

namespace tsext::pg {

inline constexpr int64_t kTimeMinimum = INT64_MIN;  // open start of a chunk
inline constexpr int64_t kTimeMaximum =
    INT64_MAX;  // open end (exclusive; a chunk [.., kTimeMaximum) includes it)

inline constexpr uint32_t kVirtualBlock =
    0x80000000u;  // virtual tuple id of a cold row: block kVirtualBlock | seg, offset row + 1

struct SegmentRow {
  Oid store;
  int32_t seg;          // 1 .. 2^31 - 16, unique among live rows of a store
  int64_t chunk_start;  // inclusive
  int64_t chunk_end;    // exclusive
  int16_t level;        // 1 HOT, 2 COLD codecs
  int64_t tmin, tmax;   // of the time column; kTimeMinimum/kTimeMaximum when there is none
  int32_t nrows;
  bytea *key_lo, *key_hi;  // order-preserving bytes of the segment-by values of the first and last
                           // row, or NULL
  Oid value_id;
  int32_t npieces;
  int64_t nbytes;       // length of the segment
  bytea *piece_pages;   // hint: uint32 block numbers of the pieces, delta/varint coded; may be NULL
  int32_t flags;        // KeyFlags() of the columns key_lo and key_hi are of
  ItemPointerData tid;  // of the directory row itself
};

/// Which columns a segment's keys are of: the attribute numbers of the first two, 11 bits each; 0 =
/// none or unknown (segments of early versions).
constexpr int32_t KeyFlags(int16_t first, int16_t second) noexcept {
  return first | (second << 11);
}
constexpr int16_t FirstKeyAttribute(int32_t flags) noexcept {
  return static_cast<int16_t>(flags & 0x7FF);
}
constexpr int16_t SecondKeyAttribute(int32_t flags) noexcept {
  return static_cast<int16_t>((flags >> 11) & 0x7FF);
}

/// A reader that is interested in few keys: segments for which may_have() is false are left out of
/// the list and counted in `skipped`. Called only for segments that have keys and tell their
/// columns.
struct SegmentKeyTest {
  bool (*may_have)(void *self, int32_t flags, ByteView lo, ByteView hi);
  void *self;
  int skipped;
};

/// Rows visible to `snapshot` of one store whose [tmin, tmax] meets [from, to], in order of
/// (chunk_start, key_lo, tmin, seg); palloc'd in the current memory context. A non-MVCC snapshot is
/// replaced by a fresh latest one.
SegmentRow *LoadSegments(Oid store, int64_t from, int64_t to, Snapshot snapshot, int *count,
                         SegmentKeyTest *keys = nullptr);
/// One row by (store, seg), or NULL.
SegmentRow *LoadSegment(Oid store, int32_t seg, Snapshot snapshot);
/// True when the store has any segment visible to `snapshot`.
bool HasSegments(Oid store, Snapshot snapshot);

/// Inserts a row; fills row->seg (next free id) and row->tid.
void InsertSegment(SegmentRow *row, CommandId cid);
/// Deletes a directory row. Returns false when someone else did already (or is about to).
bool DeleteSegment(const SegmentRow *row, CommandId cid);
/// Whether the current transaction has tried to delete a segment of any store.
bool HasDeletedSegments();
/// Writes row->piece_pages into the directory row: a new version of it, so old snapshots keep the
/// old hint. For a rewrite that copied the pieces to another file.
void UpdateSegmentPieces(const SegmentRow *row);
/// Deletes all directory, tombstone and total rows of a store (TRUNCATE, DROP, rewrite).
void DeleteStore(Oid store);

struct StoreTotal {
  int64_t rows, bytes, segments;
  int64_t tmin, tmax;  // over what was ever added; tmin > tmax when empty
};
/// Adds deltas (may be negative) in the current transaction.
void AddStoreTotal(Oid store, int64_t rows, int64_t bytes, int64_t segments, int64_t tmin,
                   int64_t tmax);
/// The sum visible to `snapshot` (NULL = latest), O(1) after FoldStoreTotal.
StoreTotal GetStoreTotal(Oid store, Snapshot snapshot);
/// The planner's source: the latest sum as this session last heard of it.
StoreTotal CachedStoreTotal(Oid store);
/// Replaces the rows of a store by their sum when there are many.
void FoldStoreTotal(Oid store);

/// OID of a relation or index of schema tsext by name, cached; errors when the extension is
/// damaged.
Oid CatalogRelation(const char *name);
/// The same; InvalidOid when there is none.
Oid FindCatalogRelation(const char *name);
/// The schema of the extension's user functions, quoted where it has to be.
const char *ExtensionSchema();
/// Inserts a row into a table of schema tsext and its indexes (plain columns, no expressions),
/// below privileges, triggers and logical decoding.
void InsertCatalogRow(Relation table, HeapTuple tuple, CommandId cid);

}  // namespace tsext::pg
