#pragma once

// Removing all rows of time ranges, hot and cold: the base of replacing rows in place (refresh of
// a materialisation, downsampling). Not a user's DELETE: triggers do not fire, nobody is waited
// for.

#include <cstdint>

#include "pg/base/postgres.hpp"

extern "C" {
#include "utils/snapshot.h"
}

namespace tsext::pg {

struct TimeRange {
  int64_t from;   // inclusive
  int64_t until;  // exclusive; kTimeMaximum includes it
};

/// Removes the rows with a time in one of `ranges` (ascending, disjoint) that `snapshot` sees, in
/// the current transaction. Rows it does not see stay. Segments that lie wholly inside go as they
/// are; those partly inside are written anew without the rows (same chunk, same level). Does not
/// touch() anything: the caller knows what the removal means.
///
/// The caller holds ShareUpdateExclusiveLock on `relation`, so segments are its alone. Raises
/// 40001 when a hot row is locked or changed by another transaction: nothing is half done, the
/// caller rolls back and tries again later.
/// Returns the number of rows. Advances the command counter.
int64_t RemoveTimes(Relation relation, const TimeRange *ranges, int count, Snapshot snapshot);

}  // namespace tsext::pg
