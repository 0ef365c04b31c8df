#pragma once

// The few statements of InfluxQL that clients send for themselves. Everything else is SQL.

#include "pg/base/postgres.hpp"

extern "C" {
#include "nodes/pg_list.h"
}

namespace tsext::pg {

enum class InfluxKind : uint8_t {
  kNone,  // not one of them
  kShowDatabases,
  kShowMeasurements,
  kShowTagKeys,
  kShowTagValues,
  kShowFieldKeys,
  kShowRetentionPolicies,
  kCreateDatabase,
  kNothing,  // accepted, does nothing: CREATE RETENTION POLICY
};

struct InfluxStatement {
  InfluxKind kind = InfluxKind::kNone;
  const char *database = "";  // ON, or what is created
  List *measurements = NIL;   // FROM; of char *
  List *keys = NIL;           // WITH KEY; of char *
  int64 limit = -1;
};

/// Reads `text`; raises a syntax error when it begins as one of these statements and is none.
InfluxStatement ParseInfluxStatement(const char *text);

}  // namespace tsext::pg
