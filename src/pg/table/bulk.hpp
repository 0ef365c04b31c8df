#pragma once

// Statements that write segments at once: COPY FROM, INSERT … SELECT, CREATE TABLE AS, REFRESH
// MATERIALIZED VIEW, and rewrites by ALTER TABLE. See "Bulk writing" in README.md.

#include "pg/base/postgres.hpp"

namespace tsext::pg {

/// Called once from _PG_init: the ProcessUtility hook (COPY, rewrites), the planner hook and the
/// node of INSERT … SELECT.
void InitBulk();

/// The insert callbacks: heap's, but for rewrites whose rows become segments.
void SetBulkCallbacks(TableAmRoutine *routine);

}  // namespace tsext::pg
