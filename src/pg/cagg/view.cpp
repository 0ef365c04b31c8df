// The views of a continuous aggregate: the query as written, and what people read. README.md says
// why the latter is exact.

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/cagg/compute.hpp"
#include "pg/cagg/define.hpp"
#include "pg/cagg/row_security.hpp"

extern "C" {
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type_d.h"
#include "commands/tablecmds.h"
#include "commands/view.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "utils/lsyscache.h"
}

namespace tsext::pg {
namespace {

const char *TypeText(Oid type) {
  return format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY);
}

/// The text of the view. Everything is qualified: it is analysed with its maker's search path. All
/// conditions are such that the planner hands them down to the scan of the source, where they
/// become ranges of time, all dirty ones tested in one pass.
const char *PartsText(const ContinuousAggregate &aggregate) {
  const char *finished = NameOf(aggregate.materialization);
  const char *direct = NameOf(aggregate.direct);
  // The second item is gone before anything is planned. Until then it makes the view depend on
  // all parts, for DROP and for the order of dumps, and keeps it from being updatable.
  if (aggregate.materialized_only)
    return psprintf("SELECT m.* FROM %s m, (SELECT WHERE true OR EXISTS (SELECT FROM %s)) always",
                    finished, direct);
  const char *bucket = quote_identifier(NameStr(aggregate.bucket_column));
  const char *watermark = psprintf("(SELECT tsext.watermark('%u'::pg_catalog.regclass, NULL::%s))",
                                   aggregate.materialization, TypeText(aggregate.time_type));
  const char *dirty =
      psprintf("(SELECT tsext.dirty('%u'::pg_catalog.regclass, NULL::%s))",
               aggregate.materialization, TypeText(MultirangeType(aggregate.time_type)));
  return psprintf(
      "SELECT m.* FROM %s m WHERE m.%s OPERATOR(pg_catalog.<) %s"
      " AND (m.%s%s OPERATOR(pg_catalog.<@) %s) IS NOT TRUE"
      " UNION ALL SELECT d.* FROM %s d WHERE d.%s OPERATOR(pg_catalog.>=) %s"
      " UNION ALL SELECT d.* FROM %s d WHERE d.%s%s OPERATOR(pg_catalog.<@) %s",
      finished, bucket, watermark, bucket, RangeCast(aggregate.time_type), dirty, direct, bucket,
      watermark, direct, bucket, RangeCast(aggregate.time_type), dirty);
}

/// The parts under the condition of row security. The EXISTS is gone before anything is planned; it
/// keeps the view depending on all parts.
const char *SecuredText(const ContinuousAggregate &aggregate, const RowCondition &condition) {
  return psprintf("SELECT u.* FROM (%s) u WHERE (true OR EXISTS (SELECT FROM %s)) AND %s",
                  PartsText(aggregate), NameOf(aggregate.direct), condition.text);
}

/// Puts the query of a view in its place in FROM: to be read with the rights of the outer view's
/// owner, whatever the inner one says.
void Inline(Query *query, Oid view, const Query *definition) {
  ListCell *cell;
  foreach (cell, query->rtable) {
    auto *entry = lfirst_node(RangeTblEntry, cell);
    if (entry->rtekind == RTE_SUBQUERY) Inline(entry->subquery, view, definition);
    if (entry->rtekind != RTE_RELATION || entry->relid != view) continue;
    auto *inlined = makeNode(RangeTblEntry);
    inlined->rtekind = RTE_SUBQUERY;
    inlined->subquery = static_cast<Query *>(copyObjectImpl(definition));
    inlined->alias = entry->alias;
    inlined->eref = entry->eref;
    inlined->lateral = entry->lateral;
    inlined->inFromCl = entry->inFromCl;
    lfirst(cell) = inlined;
  }
}

Query *Analysed(const char *text, int parameter_count) {
  List *statements = raw_parser(text, RAW_PARSE_DEFAULT);
  auto *types = static_cast<Oid *>(palloc(sizeof(Oid) * (parameter_count + 1)));
  std::fill(types, types + parameter_count, BOOLOID);
  return parse_analyze_fixedparams(linitial_node(RawStmt, statements), text, types, parameter_count,
                                   nullptr);
}

Query *SecuredView(const ContinuousAggregate &aggregate, const RowCondition &condition) {
  Query *query = Analysed(SecuredText(aggregate, condition), list_length(condition.quals));
  Inline(query, aggregate.direct, QueryOfView(aggregate.direct));
  SetPolicies(query, condition);
  return query;
}

}  // namespace

List *ColumnsOfQuery(const Query *query) {
  List *columns = nullptr;
  ListCell *cell;
  foreach (cell, query->targetList) {
    const auto *entry = lfirst_node(TargetEntry, cell);
    if (entry->resjunk) continue;
    auto *expression = reinterpret_cast<Node *>(entry->expr);
    ColumnDef *column = makeColumnDef(entry->resname, exprType(expression), exprTypmod(expression),
                                      exprCollation(expression));
    if (!OidIsValid(column->collOid) && type_is_collatable(exprType(expression)))
      ereport(ERROR, (errcode(ERRCODE_INDETERMINATE_COLLATION),
                      errmsg("no collation was derived for column \"%s\" with collatable type %s",
                             entry->resname, format_type_be(exprType(expression))),
                      errhint("Use the COLLATE clause to set the collation explicitly.")));
    columns = lappend(columns, column);
  }
  return columns;
}

Oid MakeView(RangeVar *name, Query *query) {
  auto *create = makeNode(CreateStmt);
  create->relation = name;
  create->tableElts = ColumnsOfQuery(query);
  create->oncommit = ONCOMMIT_NOOP;
  const Oid view = DefineRelation(create, RELKIND_VIEW, InvalidOid, nullptr, nullptr).objectId;
  CommandCounterIncrement();
  StoreViewQuery(view, query, false);
  CommandCounterIncrement();
  return view;
}

Oid MakeAggregateView(const ContinuousAggregate &aggregate, RangeVar *name) {
  ContinuousAggregate made = aggregate;
  const char *label = name != nullptr ? name->relname : get_rel_name(aggregate.view);
  const RowCondition condition = RowConditionOf(aggregate, label);
  const bool is_secured = condition.text != nullptr;
  if (is_secured) RequireAllRows(aggregate, label);
  Query *query = is_secured ? SecuredView(aggregate, condition) : Analysed(PartsText(aggregate), 0);
  if (OidIsValid(aggregate.view)) {
    StoreViewQuery(aggregate.view, query, true);
    CommandCounterIncrement();
  } else {
    made.view = MakeView(name, query);
  }
  ProtectParts(made, is_secured);
  return made.view;
}

}  // namespace tsext::pg
