#pragma once

// What happens to continuous aggregates after they were made: ALTER, DROP, and statements that they
// do not bear.

#include "pg/base/postgres.hpp"
#include "pg/catalog/cagg.hpp"

extern "C" {
#include "nodes/parsenodes.h"
}

namespace tsext::pg {

/// The aggregate whose view has this name; nullptr: none.
ContinuousAggregate *AggregateOfName(const RangeVar *name);
/// Whether an option is one of continuous aggregates, tsext.… or timescaledb.…
bool IsAggregateOption(const DefElem *option);
/// The same; errors on unknown ones of timescaledb.
bool CheckAggregateOption(const DefElem *option);

/// Refuses our options in ALTER of what is no continuous aggregate. True when there is nothing of
/// that name and the statement says IF EXISTS: nothing is to be done.
bool SkipsAlter(const AlterTableStmt *statement);

/// The aggregate that a statement about one view is about; nullptr: none, or no such statement.
ContinuousAggregate *AggregateOfStatement(Node *statement);
/// Makes the statement one that PostgreSQL runs for the aggregate's view, and does our part.
/// Returns whether anything is left to run. Refuses what makes no sense, with a hint.
bool PrepareAlter(Node *statement, const ContinuousAggregate &aggregate);
/// What FinishAlter needs to know of the view from before the statement.
struct ViewBefore {
  char *name;
  Oid owner;
};
ViewBefore LookAtView(const ContinuousAggregate &aggregate);
/// After it was run: takes name, schema, owner and columns of the view over to the rest.
void FinishAlter(const ContinuousAggregate &aggregate, const ViewBefore &before);

/// Refuses changes of tables that an aggregate could not follow, or would break over.
void GuardTable(const AlterTableStmt *statement);
/// Refuses to change options of a view that row security of the tables below depends on.
void GuardOptions(const AlterTableStmt *statement);
/// Refuses renames of columns of an aggregate's hidden parts.
void GuardRename(const RenameStmt *statement);

/// Whether a DROP names parts of aggregates. Refuses to drop hidden parts without the view.
bool DropsAggregates(const DropStmt *drop);
/// Makes DROP MATERIALIZED VIEW one of views, and adds the views of the queries, on which other
/// aggregates' may depend. Materialized views proper among them are returned as a statement of
/// their own; nullptr: there are none.
DropStmt *SplitDrop(DropStmt *drop);
/// Deletes what is left of aggregates whose views have gone. Called after statements.
void FinishDrops(DropBehavior behavior);
/// Whether FinishDrops has anything to look at.
bool HasDrops();

/// Called by InitAggregateStatements: the object access hook.
void InitAggregateDrops();

}  // namespace tsext::pg
