#pragma once

// CREATE INDEX over the hot rows, and the refusal of unique keys over cold ones.

#include "pg/base/postgres.hpp"

namespace tsext::pg {

void SetIndexBuildCallbacks(TableAmRoutine *routine);

}  // namespace tsext::pg
