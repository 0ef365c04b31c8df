#pragma once

// Row security of the tables below a continuous aggregate, applied to its rows. README.md says when
// that is exact and who may read what.

#include "pg/base/postgres.hpp"
#include "pg/catalog/cagg.hpp"

extern "C" {
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
}

namespace tsext::pg {

/// Where a table stands below a row; `kNulled`: rows without it come out, too.
enum class Side { kAbsent, kKept, kNulled };
/// Where a range table entry is in a tree of joins.
Side FindInJoins(const Node *node, Index index);

/// A view's query as its maker wrote it, with the columns' names of today: palloc'd, and free of
/// the entries that rules have.
Query *QueryOfView(Oid view);

/// A condition on the rows of an aggregate.
struct RowCondition {
  char *text;   // SQL, in which $1, $2, … stand for the policies; nullptr: no row security below
  List *quals;  // the policies' expressions, over range table entry 1, the aggregate's rows
};
/// The row security of all tables below, for whoever reads. Raises 0A000 when a policy cannot be
/// applied to groups of rows. name: the aggregate's, which need not be there yet.
RowCondition RowConditionOf(const ContinuousAggregate &aggregate, const char *name);
/// Whether a table below has row security.
bool HasRowSecurityBelow(const ContinuousAggregate &aggregate);
/// Puts the quals in their places.
void SetPolicies(Query *query, const RowCondition &condition);

/// Whether a policy with this pg_policy.polcmd, and a condition or none, filters what is read.
bool IsReadingPolicy(char command, bool has_condition);

/// Raises 42501 when row security of the table hides rows from the owner of the aggregate. name:
/// of the aggregate; nullptr: that of its view.
void RequireRowsOfOwner(Oid table, Oid materialization, const char *name);
/// Raises 42501 when row security below hides rows from the owner, who computes the buckets, or
/// from the owner of an aggregate in between.
void RequireAllRows(const ContinuousAggregate &aggregate, const char *name);

/// Whether row security below hides no row from a role.
bool SeesAllRows(const ContinuousAggregate &aggregate, Oid role);
Oid OwnerOf(const ContinuousAggregate &aggregate);

/// Takes the ways around the view from those who are not its owner, or gives them back: whoever
/// reads the direct view does so with his own rights, the table of buckets has row security that
/// only its owner passes, functions of a reader see no row before the condition.
void ProtectParts(const ContinuousAggregate &aggregate, bool is_secured);

/// Locks what a statement that changes row security will change, and notes the table of ALTER TABLE
/// … ROW LEVEL SECURITY. Called before statements.
void PrepareRowSecurity(Node *statement);
/// Makes the views over tables anew whose row security has changed. Called after statements.
void FinishRowSecurity();
/// Called by InitAggregateStatements: hooks that hear of policies.
void InitRowSecurity();
/// Called by it: the hook of the planner.
void InitRowSecurityPlans();

}  // namespace tsext::pg
