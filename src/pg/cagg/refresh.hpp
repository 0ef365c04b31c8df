#pragma once

// Bringing the buckets of a continuous aggregate up to date. The protocol is in README.md
// ("Refresh: two transactions").

#include <cstdint>

#include "pg/base/postgres.hpp"
#include "pg/catalog/cagg.hpp"

namespace tsext::pg {

/// The aggregate with this view; raises 42809 for another relation.
ContinuousAggregate *RequireAggregate(Oid view);
/// The same; raises 42501 for who is not its owner.
ContinuousAggregate *OwnAggregate(Oid view);

enum class RefreshKind : uint8_t {
  kChanged,  ///< buckets that were written to since they were computed, or never were
  kForced,   ///< all of the window
};

/// refresh_continuous_aggregate(): two transactions, both committed when it returns; afterwards a
/// new one has begun. Only where SPI may commit: in a procedure that was called outside of a
/// transaction block, or in a background worker's transaction; no snapshot may be active but those
/// of portals. The current user must own the view.
///
/// from, until: any times, kTimeMinimum and kTimeMaximum for open ends. Raises 22023 when no whole
/// bucket lies between them.
/// Returns the number of rows written to the materialization.
int64_t RefreshAggregate(Oid view, int64_t from, int64_t until, RefreshKind kind);

/// The first fill of an aggregate that the current transaction has made, in this transaction: it
/// holds ShareRowExclusiveLock on the base, so there are no other writers.
int64_t FillAggregate(Oid view);

}  // namespace tsext::pg
