#pragma once

// Making a continuous aggregate: from a statement to views, table and catalog row.

#include "pg/base/postgres.hpp"
#include "pg/catalog/cagg.hpp"

extern "C" {
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
}

namespace tsext::pg {

/// What a query says of the aggregate it defines.
struct AggregateQuery {
  Query *query;                 // analysed, not rewritten; columns have their final names
  ContinuousAggregate defined;  // all but materialization, view, direct and materialized_only
  Index source_index;           // of the source's entry in the range table
  FuncExpr *bucket;             // simplified: every argument is a Const but the second
  TargetEntry *bucket_entry;
};

/// Checks that this query can be kept as a continuous aggregate and fills the rest in, under
/// ShareRowExclusiveLock on the table below. The source is read without its children from now on.
/// Errors say what cannot be and why.
void CheckAggregateQuery(AggregateQuery *aggregate);
/// Checks the bucket of the query and describes it; source: nullptr for a table. Called by
/// CheckAggregateQuery.
void DescribeBucket(AggregateQuery *aggregate, const ContinuousAggregate *source);

/// CREATE MATERIALIZED VIEW … WITH (tsext.continuous).
struct CreateRequest {
  CreateTableAsStmt *statement;
  bool materialized_only;
};
/// Makes the aggregate, without any buckets. Returns its view; InvalidOid when there is a relation
/// of that name already and the statement says IF NOT EXISTS.
Oid CreateAggregate(const CreateRequest &request);
/// Computes all buckets of an aggregate that the current transaction has made: within the
/// transaction where that is one of the user's, which keeps writers of the table waiting to its
/// end; else in one of its own after the definition is committed.
void FillNewAggregate(Oid view, bool is_top_level);

/// Makes the view people read, or makes it anew when aggregate.view is valid. Advances the command
/// counter. Returns the view.
Oid MakeAggregateView(const ContinuousAggregate &aggregate, RangeVar *name);
/// Makes a view of an analysed query. Advances the command counter.
Oid MakeView(RangeVar *name, Query *query);
/// The columns of a query's result as definitions of columns.
List *ColumnsOfQuery(const Query *query);

}  // namespace tsext::pg
