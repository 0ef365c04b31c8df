#pragma once

// Where the buckets of a continuous aggregate start: by arithmetic where all are of one width, else
// by calling time_bucket() as the definition does.

#include <cstdint>

#include "pg/base/postgres.hpp"
#include "pg/catalog/cagg.hpp"

namespace tsext::pg {

/// Start of the bucket that holds `time`, in units of the base's time column. kTimeMinimum when no
/// type could hold that start; kTimeMaximum stays. Asks for no rights: whoever may read a view need
/// not be allowed to name the function.
int64_t BucketStart(const ContinuousAggregate &aggregate, int64_t time);

/// Whether the function is one of the extension's time_bucket().
bool IsTimeBucketFunction(Oid function);

}  // namespace tsext::pg
