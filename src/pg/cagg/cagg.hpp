#pragma once

// Continuous aggregates: what the module's table of contents calls.

namespace tsext::pg {

/// Called once from _PG_init, after InitOptions: hooks that make, alter and drop continuous
/// aggregates.
void InitAggregateStatements();

}  // namespace tsext::pg
