#pragma once

namespace tsext::pg {

/// Registers the planner hook and the node of INSERT … SELECT.
void InitBulkInsert();

}  // namespace tsext::pg
