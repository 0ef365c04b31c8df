// The table of contents: what the library registers when it is loaded.

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/cagg/cagg.hpp"
#include "pg/cagg/source_goes.hpp"
#include "pg/catalog/cagg.hpp"
#include "pg/catalog/commit_gate.hpp"
#include "pg/catalog/options.hpp"
#include "pg/exec/planner.hpp"
#include "pg/ingest/listener.hpp"
#include "pg/job/job.hpp"
#include "pg/job/launcher.hpp"
#include "pg/table/analyze.hpp"
#include "pg/table/bulk.hpp"
#include "pg/table/delegation.hpp"
#include "pg/table/rewrite.hpp"
#include "pg/table/touched.hpp"
#include "pg/table/vacuum.hpp"

extern "C" {
PG_MODULE_MAGIC;
PGDLLEXPORT void _PG_init(void);
}

namespace {

/// Another file of the library in one process (an update under another path, LOAD of a second
/// build) would chain every hook twice and know nothing of the shared memory of the first.
void RefuseSecondCopy() {
  void **loaded = find_rendezvous_variable("tsext");
  if (*loaded != nullptr) {
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("tsext %s cannot be loaded: tsext %s is loaded already from another file",
                    TSEXT_VERSION, static_cast<const char *>(*loaded)),
             errdetail("A process has one copy of the library only. An installed update is used by "
                       "new processes after a restart of the server."),
             errhint("Restart the server, and let shared_preload_libraries and the function's "
                     "library path name the same file.")));
  }
}

}  // namespace

void _PG_init(void) {
  tsext::pg::Enter([] {
    RefuseSecondCopy();
    tsext::pg::DefineSettings();
    tsext::pg::DefineStopPointSetting();
    tsext::pg::InitOptions();
    tsext::pg::InitAggregateStatements();
    tsext::pg::InitCommitGate();
    tsext::pg::InitAggregateCatalog();
    tsext::pg::InitDelegation();
    tsext::pg::InitAnalyze();
    tsext::pg::InitRewrite();
    tsext::pg::InitVacuum();
    tsext::pg::InitBulk();
    tsext::pg::InitTouched();
    tsext::pg::InitSourceGoes();
    tsext::pg::InitPlanner();
    tsext::pg::InitLauncher();
    tsext::pg::InitJobs();
    tsext::pg::InitListeners();
    tsext::pg::AddLauncherTask(tsext::pg::StartListeners);
    *find_rendezvous_variable("tsext") = const_cast<char *>(TSEXT_VERSION);
  });
}

TSEXT_FUNCTION(tsext_version) {
  PG_RETURN_TEXT_P(cstring_to_text(TSEXT_VERSION));
}
