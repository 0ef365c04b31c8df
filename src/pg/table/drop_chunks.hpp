#pragma once

// Whole chunks go: drop_chunks() and retention. What this means for the continuous aggregates above
// the table is in src/pg/cagg/README.md, "When the source goes".

#include <cstdint>

#include "pg/base/postgres.hpp"
#include "pg/catalog/cagg.hpp"
#include "pg/catalog/chunk.hpp"

namespace tsext::pg {

/// A table whose chunks may be dropped, locked; or the table of buckets of a continuous aggregate.
struct DropTarget {
  Relation relation;
  const ContinuousAggregate *aggregate;  // nullptr: an ordinary table
};

/// Opens a table, or for the view of a continuous aggregate its table of buckets, with
/// ShareUpdateExclusiveLock. Errors: as OpenForCompaction(), 55000 no time column, 0A000 a foreign
/// key references it or its compressed chunks are of a time when it was not published yet.
DropTarget OpenForDrop(Oid relation_id, const char *operation);
/// 0A000 when rows of the table must not go without a check by a foreign key.
void RequireNoReferences(Relation relation);

/// The chunks inside [from, until) that `snapshot` (nullptr = latest) sees, hot or cold: palloc'd,
/// ascending.
ChunkRange *ListChunks(Relation relation, int64_t from, int64_t until, Snapshot snapshot,
                       int *count);

/// Deletes whole chunks inside [from, until) in the current transaction: their segments and their
/// hot rows, as one snapshot taken here sees them. Rows that came later stay. Nobody is waited for:
/// what another transaction holds or has changed stays, too, or raises 40001 when continuous
/// aggregates are above the table. They are brought up to date first and keep their buckets; of a
/// continuous aggregate itself the buckets are gone for good. Calls `dropped` once a chunk.
/// Advances the command counter.
void DropChunks(const DropTarget &target, int64_t from, int64_t until,
                void (*dropped)(int64_t start, int64_t end, void *state), void *state);

/// The part before `until` of a chunk that reaches over it, for tables with chunks of 'auto' width:
/// a chunk that holds few rows may span years there, so it is cut at a border of the smallest
/// width. False when there is nothing to cut off, or less than a sixteenth of the time that the
/// rest spans: what is kept is written anew, so a row is written anew a few times at most.
bool FindOldPart(Relation relation, int64_t until, ChunkRange *part);
/// Deletes it, with the same care for aggregates as DropChunks(); false when there is none. Raises
/// 40001 when somebody else has a row of it.
bool DropOldPart(const DropTarget &target, int64_t until);

/// What the feature above does before buckets of an aggregate itself go: its chunks that lie in
/// [from, until). Aggregates over its view are brought up to date and keep theirs, then these
/// buckets are marked as gone, so that no refresh brings them back. The caller holds
/// ShareUpdateExclusiveLock on the view and the table of buckets.
using BucketsGoFunction = void (*)(const ContinuousAggregate &aggregate, int64_t from,
                                   int64_t until, Snapshot snapshot);
void SetBucketsGoFunction(BucketsGoFunction function);

}  // namespace tsext::pg
