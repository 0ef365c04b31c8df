// Where the view of an aggregate need not be a barrier. The planner lets nothing through one that
// is not leakproof, so neither conditions on time_bucket(…, bucket): an aggregate above would read
// all of the buckets.

#include "pg/base/boundary.hpp"
#include "pg/cagg/row_security.hpp"

extern "C" {
#include "optimizer/planner.h"
}

namespace tsext::pg {
namespace {

planner_hook_type next_planner = nullptr;

/// The view whose expansion a subquery is; InvalidOid: the user wrote it.
Oid ViewOf(const RangeTblEntry *entry) {
#if PG_VERSION_NUM >= 160000
  return entry->relkind == RELKIND_VIEW ? entry->relid : InvalidOid;
#else
  // Rules begin with the entry for OLD.
  if (entry->subquery->rtable == nullptr) return InvalidOid;
  const auto *first = linitial_node(RangeTblEntry, entry->subquery->rtable);
  return first->rtekind == RTE_RELATION && first->relkind == RELKIND_VIEW ? first->relid
                                                                          : InvalidOid;
#endif
}

/// Whether the barrier keeps nothing from anybody. The planner asks anew for each role: the tables
/// below make the plan depend on it.
bool IsNeedless(const ContinuousAggregate &aggregate, const ContinuousAggregate *around) {
  if (SeesAllRows(aggregate, GetUserId())) return true;
  // What is around is a barrier with a condition on the same columns; its own functions are those
  // of somebody who sees all rows.
  return around != nullptr && around->source == aggregate.view &&
         SeesAllRows(aggregate, OwnerOf(*around));
}

/// around: the aggregate with row security below in whose view the query stands; nullptr: none.
void TakeBarriers(Query *query, const ContinuousAggregate *around) {
  ListCell *cell;
  foreach (cell, query->cteList) {
    auto *with = lfirst_node(CommonTableExpr, cell);
    if (IsA(with->ctequery, Query)) TakeBarriers(reinterpret_cast<Query *>(with->ctequery), around);
  }
  foreach (cell, query->rtable) {
    auto *entry = lfirst_node(RangeTblEntry, cell);
    if (entry->rtekind != RTE_SUBQUERY) continue;
    const ContinuousAggregate *inside = around;
    if (const Oid view = ViewOf(entry); OidIsValid(view)) {
      inside = entry->security_barrier ? AggregateOfView(view) : nullptr;
      if (inside != nullptr) entry->security_barrier = !IsNeedless(*inside, around);
    }
    TakeBarriers(entry->subquery, inside);
  }
}

PlannedStmt *PlanStatement(Query *query, const char *text, int cursor_options,
                           ParamListInfo parameters) {
  if (query->hasRowSecurity) Enter([query] { TakeBarriers(query, nullptr); });
  return (next_planner != nullptr ? next_planner : standard_planner)(query, text, cursor_options,
                                                                     parameters);
}

}  // namespace

void InitRowSecurityPlans() {
  next_planner = planner_hook;
  planner_hook = PlanStatement;
}

}  // namespace tsext::pg
