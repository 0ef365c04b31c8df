#pragma once

// WITH (tsext.…) of CREATE TABLE, CREATE TABLE AS and CREATE MATERIALIZED VIEW, and SET and
// RESET (tsext.…) of ALTER TABLE.

#include "pg/base/postgres.hpp"

extern "C" {
#include "catalog/pg_class.h"
}

namespace tsext::pg {

/// Hooks into ProcessUtility; called by InitOptions.
void InitWithOptions();

/// True while a CREATE statement with options runs.
bool HasPendingOptions();
/// Called when a relation has just been made: stores the options when it is the one the statement
/// makes. So they are there before CREATE TABLE AS writes the first row.
void ApplyPendingOptions(Form_pg_class created);

}  // namespace tsext::pg
