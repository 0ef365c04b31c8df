#include "pg/base/transaction.hpp"

#include <cstdint>

#include "pg/base/boundary.hpp"

extern "C" {
#include "access/xact.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "utils/portal.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
}

namespace tsext::pg {

namespace {

/// An error is logged, or copied to the caller's memory when `error` is there to take it.
bool Run(void (*body)(void *state), void *state, bool with_snapshot, ErrorData **error = nullptr) {
  // Set in PG_TRY, read after it.
  volatile bool succeeded = false;
  MemoryContext caller = CurrentMemoryContext;
  PG_TRY();
  {
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    if (with_snapshot) PushActiveSnapshot(GetTransactionSnapshot());
    // A C++ exception must not pass PG_TRY: it would leave the error stack pointing here.
    Enter([&] { body(state); });
    if (with_snapshot) PopActiveSnapshot();
    CommitTransactionCommand();
    succeeded = true;
  }
  PG_CATCH();
  {
    HOLD_INTERRUPTS();
    if (error != nullptr) {
      MemoryContextSwitchTo(caller);
      *error = CopyErrorData();
    } else {
      EmitErrorReport();
    }
    AbortCurrentTransaction();
    PortalErrorCleanup();  // of a procedure that had committed
    FlushErrorState();
    RESUME_INTERRUPTS();
  }
  PG_END_TRY();
  MemoryContextSwitchTo(caller);
  pgstat_report_stat(true);
  return succeeded;
}

}  // namespace

bool RunTransaction(void (*body)(void *state), void *state) {
  return Run(body, state, true);
}

bool RunUtility(void (*body)(void *state), void *state) {
  return Run(body, state, false);
}

ErrorData *TryTransaction(void (*body)(void *state), void *state) {
  ErrorData *error = nullptr;
  return Run(body, state, true, &error) ? nullptr : error;
}

ErrorData *TryUtility(void (*body)(void *state), void *state) {
  ErrorData *error = nullptr;
  return Run(body, state, false, &error) ? nullptr : error;
}

namespace {

enum class Outcome : uint8_t { kRelease, kRollBack };

ErrorData *RunSubtransaction(void (*body)(void *state), void *state, Outcome outcome) {
  ErrorData *volatile error = nullptr;
  MemoryContext caller = CurrentMemoryContext;
  ResourceOwner owner = CurrentResourceOwner;
  BeginInternalSubTransaction(nullptr);
  // What the body leaves behind when it fails goes with this context.
  MemoryContext context = AllocSetContextCreate(caller, "tsext try", ALLOCSET_DEFAULT_SIZES);
  PG_TRY();
  {
    MemoryContextSwitchTo(context);
    Enter([body, state] { body(state); });
    if (outcome == Outcome::kRelease) {
      ReleaseCurrentSubTransaction();
    } else {
      RollbackAndReleaseCurrentSubTransaction();
    }
  }
  PG_CATCH();
  {
    MemoryContextSwitchTo(caller);
    error = CopyErrorData();
    FlushErrorState();
    RollbackAndReleaseCurrentSubTransaction();
  }
  PG_END_TRY();
  MemoryContextSwitchTo(caller);
  CurrentResourceOwner = owner;
  MemoryContextDelete(context);
  return error;
}

}  // namespace

ErrorData *TrySubtransaction(void (*body)(void *state), void *state) {
  return RunSubtransaction(body, state, Outcome::kRelease);
}

ErrorData *TryAndRollBack(void (*body)(void *state), void *state) {
  return RunSubtransaction(body, state, Outcome::kRollBack);
}

bool IsAtomicCall(FunctionCallInfo fcinfo) {
  return fcinfo->context == nullptr || !IsA(fcinfo->context, CallContext) ||
         castNode(CallContext, fcinfo->context)->atomic;
}

}  // namespace tsext::pg
