#pragma once

// What the planner learns about a table: its size, its rows, and ANALYZE over hot and cold rows.

#include "pg/base/postgres.hpp"

namespace tsext::pg {

struct TsextScan;

/// At the end of ANALYZE's scan: remembers how many hot rows the table has.
void EndSample(TsextScan *scan);

void SetAnalyzeCallbacks(TableAmRoutine *routine);

/// Registers the callback that corrects pg_class.reltuples. Called once from _PG_init.
void InitAnalyze();

}  // namespace tsext::pg
