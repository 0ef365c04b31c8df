// The access method's table of callbacks: heap's, with ours in the places that differ.

#include "pg/base/boundary.hpp"
#include "pg/table/analyze.hpp"
#include "pg/table/bulk.hpp"
#include "pg/table/index_build.hpp"
#include "pg/table/rewrite.hpp"
#include "pg/table/row.hpp"
#include "pg/table/sample.hpp"
#include "pg/table/scan.hpp"
#include "pg/table/vacuum.hpp"

extern "C" {
#include "catalog/pg_am_d.h"
}

namespace {

TableAmRoutine MakeRoutine() {
  TableAmRoutine routine = *GetHeapamTableAmRoutine();
  // Segments live in the TOAST table, which is a heap.
  routine.relation_needs_toast_table = [](Relation) { return true; };
  routine.relation_toast_am = [](Relation) -> Oid { return HEAP_TABLE_AM_OID; };
  tsext::pg::SetScanCallbacks(&routine);
  tsext::pg::SetRowCallbacks(&routine);
  tsext::pg::SetBulkCallbacks(&routine);
  tsext::pg::SetIndexBuildCallbacks(&routine);
  tsext::pg::SetRewriteCallbacks(&routine);
  tsext::pg::SetAnalyzeCallbacks(&routine);
  tsext::pg::SetSampleCallbacks(&routine);
  tsext::pg::SetVacuumCallbacks(&routine);
  return routine;
}

}  // namespace

TSEXT_FUNCTION(tsext_handler) {
  static TableAmRoutine routine = MakeRoutine();
  PG_RETURN_POINTER(&routine);
}
