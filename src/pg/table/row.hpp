#pragma once

// Single rows by tuple id: fetches, DELETE, UPDATE, row locks. A virtual tuple id names a cold row.

#include "pg/base/postgres.hpp"

namespace tsext::pg {

/// Puts every callback that takes a tuple id into `routine`.
void SetRowCallbacks(TableAmRoutine *routine);

}  // namespace tsext::pg
