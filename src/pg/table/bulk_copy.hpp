#pragma once

#include <cstdint>

#include "pg/base/postgres.hpp"

extern "C" {
#include "nodes/parsenodes.h"
#include "parser/parse_node.h"
}

namespace tsext::pg {

/// Runs COPY FROM into a tsext table through segments. False, with nothing done but the target
/// locked, when core's COPY must run; true: done, *processed is the number of rows.
bool CopyIntoSegments(ParseState *parse_state, const CopyStmt *statement, uint64_t *processed);

}  // namespace tsext::pg
