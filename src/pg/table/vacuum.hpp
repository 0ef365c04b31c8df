#pragma once

// VACUUM of the hot heap.

#include "pg/base/postgres.hpp"

namespace tsext::pg {

void SetVacuumCallbacks(TableAmRoutine *routine);

/// Chains the hook that sees whether a VACUUM names its option TRUNCATE. Called once from _PG_init.
void InitVacuum();

}  // namespace tsext::pg
