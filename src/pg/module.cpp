// The table of contents: what the library registers when it is loaded.

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/cagg/cagg.hpp"
#include "pg/cagg/source_goes.hpp"
#include "pg/catalog/cagg.hpp"
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

void _PG_init(void) {
  tsext::pg::Enter([] {
    tsext::pg::DefineSettings();
    tsext::pg::DefineStopPointSetting();
    tsext::pg::InitOptions();
    tsext::pg::InitAggregateStatements();
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
  });
}

TSEXT_FUNCTION(tsext_version) {
  PG_RETURN_TEXT_P(cstring_to_text(TSEXT_VERSION));
}
