#pragma once

// Which times a transaction has written to, for the continuous aggregates above a table. The one
// entry point that every path which changes rows of a tsext table calls: INSERT, COPY, bulk
// writers, UPDATE (old and new time), DELETE, TRUNCATE, whatever comes later. Moves of rows
// (compaction, merge, CLUSTER, VACUUM FULL, decompress_chunk) change nothing and do not call.
// The protocol is in src/pg/cagg/README.md.

#include <cstdint>

#include "pg/base/postgres.hpp"

namespace tsext::pg {

/// Whether anything follows the writes of this relation; to be asked once a statement or batch.
bool IsFollowed(Relation relation);

/// Notes that a row with this time was or will be written or removed by command `cid`. time: in
/// units of the time column; kTimeMinimum and kTimeMaximum for the infinities. Does nothing when
/// nobody follows.
void TouchTime(Relation relation, int64_t time, CommandId cid);
/// The same for the row in a slot. A row without a time is not noted: nobody may follow then.
void TouchRow(Relation relation, TupleTableSlot *slot, CommandId cid);
/// The same for a hot row that this transaction has just deleted or replaced.
void TouchOldRow(Relation relation, ItemPointer tid, CommandId cid);
/// Everything: TRUNCATE.
void TouchAll(Relation relation);

/// Called once from _PG_init.
void InitTouched();

// What the feature above does before rows of a table go that its aggregates shall keep.

/// Takes the locks that SourceGoes() needs on the aggregates above `relation`: a table, or the
/// table of buckets of an aggregate. To be called before the snapshot is taken; else SourceGoes()
/// raises 40001 when a refresh has come in between, and rows that have are not counted as late.
/// Raises 55P03 when writers of the last buckets do not finish their commits.
using PrepareSourceGoesFunction = void (*)(Relation relation, int64_t from, int64_t until);
void PrepareSourceGoes(Relation relation, int64_t from, int64_t until);

/// Brings every aggregate above `base` up to date for the whole buckets around the rows in
/// [from, until) that `snapshot` sees, then marks these buckets as gone. In the current
/// transaction, which holds ShareUpdateExclusiveLock on base.
using SourceGoesFunction = void (*)(Relation base, int64_t from, int64_t until, Snapshot snapshot);
/// Does nothing when the table has no aggregate.
void SourceGoes(Relation base, int64_t from, int64_t until, Snapshot snapshot);

/// Rows before this are in no bucket, of any aggregate above `base`, that has not ended by `time`;
/// kTimeMaximum: there is no aggregate. Were later rows to go, such a bucket would stay what it is
/// now and not take the rows that are still to come. Needs an active snapshot.
using SourceLimitFunction = int64_t (*)(Relation base, int64_t time);
int64_t SourceLimit(Relation base, int64_t time);

void SetSourceGoesFunctions(PrepareSourceGoesFunction prepare, SourceGoesFunction goes,
                            SourceLimitFunction limit);

}  // namespace tsext::pg
