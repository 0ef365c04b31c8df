#pragma once

// TsextLast: the newest or oldest row of every series, SELECT DISTINCT ON (tags) … ORDER BY tags,
// time DESC, at the price of the series instead of that of the rows.

namespace tsext::pg {

/// Registers the node and chains the planner's hook. Called once from _PG_init.
void InitLast();

}  // namespace tsext::pg
