#pragma once

// The states of an alert's instances: which follows which, and how a result changes them.

#include <cstdint>

#include "pg/alert/alert.hpp"
#include "pg/alert/alert_query.hpp"
#include "pg/base/postgres.hpp"

namespace tsext::pg {

enum class AlertState : uint8_t { kInactive, kPending, kFiring, kResolved };

/// Applies what the query returned at `now`: new states, history, notifications, and that the
/// alert has no error. The caller holds the row of the alert locked.
void ApplyRows(const Alert &alert, const AlertRows &rows, TimestampTz now);

/// Notes that the query failed; the states stay as they are. Listeners are told when it did not
/// fail before.
void ApplyError(const Alert &alert, const char *sqlstate, const char *message, TimestampTz now);

/// Forgets all instances. What fires is resolved, with history and notification.
void ForgetInstances(const Alert &alert, TimestampTz now);

}  // namespace tsext::pg
