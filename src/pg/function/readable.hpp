#pragma once

// Opening a tsext table for functions that show what its segments say of its rows.

#include "pg/base/postgres.hpp"

namespace tsext::pg {

/// Opens a tsext table with AccessShareLock. The current user must be allowed to read all its rows:
/// the minima, maxima and counts of segments know nothing of row security. Errors: 42501 without
/// SELECT or under row security, 42809 when it is no tsext table, 42P01 when there is none.
Relation OpenReadable(Oid relation_id);

}  // namespace tsext::pg
