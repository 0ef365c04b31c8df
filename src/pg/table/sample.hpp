#pragma once

// TABLESAMPLE: the pages of the heap, then blocks of cold rows.

#include "pg/base/postgres.hpp"

namespace tsext::pg {

void SetSampleCallbacks(TableAmRoutine *routine);

}  // namespace tsext::pg
