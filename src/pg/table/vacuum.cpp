// VACUUM is heap's, but it does not give free pages at the end of the file back unless somebody
// asked: after every compaction the heap would be truncated under an exclusive lock, which waits
// for readers, cancels queries of standbys, and is for nothing when the next rows arrive.

#include "pg/table/vacuum.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/utility.hpp"
#include "pg/table/delegation.hpp"

extern "C" {
#include "access/reloptions.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/vacuum.h"
#include "nodes/parsenodes.h"
#include "utils/syscache.h"
}

namespace tsext::pg {

namespace {

// A VACUUM (TRUNCATE …) is running.
bool statement_asks = false;

bool NamesTruncate(List *options) {
  ListCell *cell;
  foreach (cell, options)
    if (strcmp(lfirst_node(DefElem, cell)->defname, "truncate") == 0) return true;
  return false;
}

void RunVacuum(Utility utility) {
  const bool asks = IsA(utility.Parsed(), VacuumStmt) &&
                    NamesTruncate(castNode(VacuumStmt, utility.Parsed())->options);
  if (asks) statement_asks = true;  // an error resets it at its abort
  utility.Run();
  if (asks) statement_asks = false;
}

/// Whether the table's storage parameter vacuum_truncate is set, to whatever.
bool TableAsks(Relation relation) {
  if (relation->rd_options == nullptr) return false;
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(RelationGetRelid(relation)));
  if (!HeapTupleIsValid(tuple)) return false;
  bool is_null;
  const Datum options = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions, &is_null);
  bool asks = false;
  if (!is_null) {
    ListCell *cell;
    foreach (cell, untransformRelOptions(options))
      if (strcmp(lfirst_node(DefElem, cell)->defname, "vacuum_truncate") == 0) asks = true;
  }
  ReleaseSysCache(tuple);
  return asks;
}

void RelationVacuum(Relation relation, VacuumParams *params, BufferAccessStrategy strategy) {
  VacuumParams changed = *params;
  if (!statement_asks && !TableAsks(relation)) changed.truncate = VACOPTVALUE_DISABLED;
  Heap()->relation_vacuum(relation, &changed, strategy);
}

}  // namespace

void SetVacuumCallbacks(TableAmRoutine *routine) {
  routine->relation_vacuum = RelationVacuum;
}

void InitVacuum() {
  HookUtility<RunVacuum>();
  RegisterXactCallback(
      [](XactEvent event, void *) {
        if (event == XACT_EVENT_ABORT) statement_asks = false;
      },
      nullptr);
}

}  // namespace tsext::pg
