#pragma once

// Waits and limits are measured on a clock that nobody sets; a TimestampTz is for what people read.

#include "pg/base/postgres.hpp"

namespace tsext::pg {

/// Microseconds of a clock that only runs, the same in all processes of the system. 0 is long ago.
int64 MonotonicMicroseconds();

}  // namespace tsext::pg
