#include "pg/base/worker.hpp"

#include <csignal>

extern "C" {
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
}

namespace tsext::pg {

BackgroundWorker DescribeWorker(const char *function, const char *type) {
  BackgroundWorker worker{};
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
  worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
  worker.bgw_restart_time = BGW_NEVER_RESTART;
  strlcpy(worker.bgw_library_name, "tsext", BGW_MAXLEN);
  strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
  strlcpy(worker.bgw_name, type, BGW_MAXLEN);
  strlcpy(worker.bgw_type, type, BGW_MAXLEN);
  return worker;
}

BackgroundWorkerHandle *StartWorker(BackgroundWorker *worker) {
  worker->bgw_notify_pid = MyProcPid;
  BackgroundWorkerHandle *handle = nullptr;
  MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
  const bool is_registered = RegisterDynamicBackgroundWorker(worker, &handle);
  MemoryContextSwitchTo(caller);
  return is_registered ? handle : nullptr;
}

void TakeWorkerSignals() {
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  pqsignal(SIGTERM, die);
  pqsignal(SIGINT, StatementCancelHandler);
  BackgroundWorkerUnblockSignals();
}

bool TakeNewConfiguration() {
  if (!ConfigReloadPending) return false;
  ConfigReloadPending = false;
  ProcessConfigFile(PGC_SIGHUP);
  return true;
}

bool WaitForWork(long timeout_ms) {
  (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout_ms,
                  PG_WAIT_EXTENSION);
  ResetLatch(MyLatch);
  CHECK_FOR_INTERRUPTS();
  return TakeNewConfiguration();
}

}  // namespace tsext::pg
