#pragma once

// Transactions of background workers, which must survive their errors.

#include "pg/base/postgres.hpp"

namespace tsext::pg {

/// Runs `body(state)` in a transaction of its own with an active snapshot. An error is logged, the
/// transaction is rolled back and false returned; FATAL ends the worker as ever.
bool RunTransaction(void (*body)(void *state), void *state);

/// The same without a snapshot, for commands that make their own transactions (vacuum).
bool RunUtility(void (*body)(void *state), void *state);

/// As RunTransaction, but an error is returned in the caller's memory instead of logged; nullptr:
/// all went well, the commit too.
ErrorData *TryTransaction(void (*body)(void *state), void *state);
/// As TryTransaction, without a snapshot.
ErrorData *TryUtility(void (*body)(void *state), void *state);

/// Runs `body` in a subtransaction. On an error the subtransaction is rolled back and the error
/// returned, in the caller's memory; nullptr: it went well.
ErrorData *TrySubtransaction(void (*body)(void *state), void *state);

/// The same, but the subtransaction is rolled back in any case: what the body sets (settings, user,
/// XactReadOnly) ends with it.
ErrorData *TryAndRollBack(void (*body)(void *state), void *state);

/// Whether a procedure was called where it cannot end the transaction: in a transaction block, or
/// by a function.
bool IsAtomicCall(FunctionCallInfo fcinfo);

}  // namespace tsext::pg
