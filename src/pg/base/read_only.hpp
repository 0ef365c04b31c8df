#pragma once

#include "pg/base/postgres.hpp"

namespace tsext::pg {

/// Raises 25006 in a read-only transaction; on a standby with the advice to go to the primary.
void RefuseReadOnly(const char *command);

}  // namespace tsext::pg
