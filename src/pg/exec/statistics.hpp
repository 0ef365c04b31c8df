#pragma once

// What selectivity functions learn about the time column of a tsext table.

namespace tsext::pg {

/// Chains the hook. Called once from _PG_init.
void InitStatistics();

}  // namespace tsext::pg
