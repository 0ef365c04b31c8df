#pragma once

// The end and the copy of a store: TRUNCATE, DROP, CLUSTER and VACUUM FULL.

#include "pg/base/postgres.hpp"

namespace tsext::pg {

void SetRewriteCallbacks(TableAmRoutine *routine);

/// Moves a table's compressed rows back to its heap, with a NOTICE, for a key. The caller's lock
/// keeps new segments out.
void MakeTableHot(Relation table);

/// True within the command that makes a key on this table and has moved its compressed rows back:
/// the command's own snapshot, from before, still sees the segments.
bool HasBecomeHot(Relation relation, Snapshot snapshot);

/// Chains the object access hook that sees DROP. Called once from _PG_init.
void InitRewrite();

}  // namespace tsext::pg
