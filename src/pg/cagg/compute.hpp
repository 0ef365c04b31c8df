#pragma once

// The steps of a refresh that the end of a source (drop_chunks) shares with it. Who takes which
// lock when is in README.md.

#include <cstdint>

#include "pg/base/postgres.hpp"
#include "pg/cagg/dirty.hpp"
#include "pg/catalog/cagg.hpp"
#include "pg/table/remove_times.hpp"

extern "C" {
#include "utils/snapshot.h"
}

namespace tsext::pg {

/// 'schema.name', quoted where needed; palloc'd.
char *NameOf(Oid relation);

/// Shuts the gate of writers until the end of the transaction, then takes ExclusiveLock on the
/// view, never queued: waits for writers that are just committing without making others wait.
/// Raises 55P03 after ten seconds of either.
void LockOutWriters(const ContinuousAggregate &aggregate);

/// The greatest time of the base's rows in [from, until) that `snapshot` sees, infinities aside;
/// false: there is none.
bool NewestTime(const ContinuousAggregate &aggregate, int64_t from, int64_t until,
                Snapshot snapshot, int64_t *time);

/// The start of the bucket that the clock is in: now(), for integers the table's integer_now
/// function; `fallback` where there is none.
int64_t BucketOfNow(const ContinuousAggregate &aggregate, int64_t fallback);

/// Logs the buckets in [from, until) as to be computed; nothing when from >= until.
void LogRange(const ContinuousAggregate &aggregate, int64_t from, int64_t until);

/// Replaces the buckets in `ranges` (ascending, disjoint, whole buckets) by what the direct view
/// gives under `snapshot`, which was taken under ShareUpdateExclusiveLock on view and
/// materialization, and of which `state` is what it sees. Others may be computed again with them,
/// but none whose source is gone. Tells listeners.
/// Returns the number of rows written.
int64_t ComputeBuckets(const ContinuousAggregate &aggregate, Relation materialization,
                       const AggregateState &state, const TimeRange *ranges, int count,
                       Snapshot snapshot);

/// Deletes the entries of state.log that are done with: those of the window, with their parts
/// outside logged anew; those of ranges whose source is gone, their rows counted as late; those
/// above the threshold, since moving the threshold logs everything.
void CleanLog(const ContinuousAggregate &aggregate, const AggregateState &state, TimeRange window);

/// NOTIFY tsext_<schema>.<view> for computed ranges (notify.cpp).
void NotifyRefreshed(const ContinuousAggregate &aggregate, const TimeRange *ranges, int count);

}  // namespace tsext::pg
