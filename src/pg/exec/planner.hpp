#pragma once

// What the planner may know about tsext tables.

namespace tsext::pg {

/// Chains the planner's hooks. Called once from _PG_init.
void InitPlanner();

}  // namespace tsext::pg
