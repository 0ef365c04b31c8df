#pragma once

// The query and the condition of an alert: checked when they are defined, run when the alert is
// evaluated, in both cases with the rights of the owner and in a subtransaction that is rolled
// back.

#include <cstdint>

#include "pg/alert/alert.hpp"
#include "pg/base/postgres.hpp"

namespace tsext::pg {

/// What the query says of a label set. kNoData: value or condition is NULL.
enum class Signal : uint8_t { kFalse, kTrue, kNoData };

struct AlertRow {
  Jsonb *labels;  // of strings and nulls only: equal sets are equal bytes
  Signal signal;
  Datum value;  // numeric
  bool has_value;
};

struct AlertRows {
  AlertRow *rows;  // in the order of CompareLabels, each label set once
  int count;
  bool has_labels;  // whether the query has label columns at all
};

inline constexpr int kMaxInstances = 10000;

int CompareLabels(const Jsonb *a, const Jsonb *b);

/// Raises what is wrong with query or condition, as far as that shows without running them.
void CheckAlertQuery(const Alert &alert);

/// Runs the query; the rows are in the current memory context. An error is returned in it instead.
ErrorData *RunAlertQuery(const Alert &alert, AlertRows *rows);

}  // namespace tsext::pg
