#pragma once

// The end and the copy of a store: TRUNCATE, DROP, CLUSTER and VACUUM FULL.

#include "pg/base/postgres.hpp"

namespace tsext::pg {

void SetRewriteCallbacks(TableAmRoutine *routine);

/// Chains the object access hook that sees DROP. Called once from _PG_init.
void InitRewrite();

}  // namespace tsext::pg
