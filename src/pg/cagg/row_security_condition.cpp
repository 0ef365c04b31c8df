// From the policies of the tables below an aggregate to a condition on its rows.
//
// A policy that reads nothing of its table but columns that are grouped by says the same of all
// rows of a group. So the group is what the reader would have aggregated, or nothing of it is.

#include "pg/base/boundary.hpp"
#include "pg/cagg/row_security.hpp"

extern "C" {
#include "access/nbtree.h"
#include "access/table.h"
#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "rewrite/rowsecurity.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
}

namespace tsext::pg {
namespace {

// PostgreSQL 15 declares mutators without arguments; void (*)() converts to anything.
using Mutator = Node *(*)();

/// Entries for OLD and NEW in front of a rule's range table.
constexpr int kRuleEntries = PG_VERSION_NUM >= 160000 ? 0 : 2;

/// An aggregate, and the one above that reads it.
struct Level {
  const ContinuousAggregate *aggregate;
  Query *query;
  const Level *upper;  // nullptr: the one whose rows are asked for
  Index index;         // of this one's view in upper->query
};

/// A table with row security, where a level reads it.
struct SecuredTable {
  const Level *level;
  Index index;
  Oid table;
  Side side;
};

bool HasRowSecurity(Oid table) {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
  if (!HeapTupleIsValid(tuple)) return false;
  const auto *form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
  const bool is_secured = form->relkind == RELKIND_RELATION && form->relrowsecurity;
  ReleaseSysCache(tuple);
  return is_secured;
}

List *FindSecuredTables(const Level *level, List *found) {
  Index index = 0;
  ListCell *cell;
  foreach (cell, level->query->rtable) {
    const auto *entry = lfirst_node(RangeTblEntry, cell);
    ++index;
    if (entry->rtekind != RTE_RELATION) continue;
    const Side side = FindInJoins(reinterpret_cast<Node *>(level->query->jointree), index);
    if (side == Side::kAbsent) continue;
    if (const ContinuousAggregate *lower =
            entry->relkind == RELKIND_VIEW ? AggregateOfView(entry->relid) : nullptr;
        lower != nullptr) {
      auto *below = static_cast<Level *>(palloc(sizeof(Level)));
      *below = {lower, QueryOfView(lower->direct), level, index};
      found = FindSecuredTables(below, found);
    } else if (HasRowSecurity(entry->relid)) {
      auto *table = static_cast<SecuredTable *>(palloc(sizeof(SecuredTable)));
      *table = {level, index, entry->relid, side};
      found = lappend(found, table);
    }
  }
  return found;
}

List *SecuredTables(const ContinuousAggregate &aggregate) {
  auto *top = static_cast<Level *>(palloc(sizeof(Level)));
  *top = {&aggregate, QueryOfView(aggregate.direct), nullptr, 0};
  return FindSecuredTables(top, nullptr);
}

// ------------------------------------------------------------------------------------ columns

/// Whether values that GROUP BY takes as equal cannot be told apart: not 1.0 and 1.00, nor what
/// only some collation holds for the same.
bool IsEqualTheSame(Oid equality, const Var *column) {
  int32 modifier = column->vartypmod;
  // Of one length each, they are padded alike.
  if (getBaseTypeAndTypmod(column->vartype, &modifier) == BPCHAROID && modifier < 0) return false;
  // Not any family with this equality: that of text_pattern_ops does not know of collations.
  const TypeCacheEntry *type = lookup_type_cache(column->vartype, TYPECACHE_BTREE_OPFAMILY);
  if (get_op_opfamily_strategy(equality, type->btree_opf) != BTEqualStrategyNumber) return false;
  const Oid function = get_opfamily_proc(type->btree_opf, type->btree_opintype,
                                         type->btree_opintype, BTEQUALIMAGE_PROC);
  return OidIsValid(function) &&
         DatumGetBool(OidFunctionCall1Coll(function, column->varcollid,
                                           ObjectIdGetDatum(type->btree_opintype)));
}

enum class Grouping { kNone, kLoose, kExact };

struct GroupedColumn {
  Grouping grouping;
  AttrNumber column;  // of the aggregate's rows
};

/// What a column of a level's table or view is in that level's rows.
GroupedColumn FindInGroups(const Query *query, Index index, AttrNumber attribute) {
  GroupedColumn found = {Grouping::kNone, InvalidAttrNumber};
  ListCell *cell;
  foreach (cell, query->groupClause) {
    const auto *clause = lfirst_node(SortGroupClause, cell);
    const TargetEntry *entry =
        get_sortgroupclause_tle(const_cast<SortGroupClause *>(clause), query->targetList);
    if (entry->resjunk) continue;
    const Node *node = flatten_join_alias_vars(const_cast<Query *>(query),
                                               static_cast<Node *>(copyObjectImpl(entry->expr)));
    if (!IsA(node, Var)) continue;
    const auto *column = reinterpret_cast<const Var *>(node);
    if (column->varno != static_cast<int>(index) || column->varattno != attribute) continue;
    if (IsEqualTheSame(clause->eqop, column)) return {Grouping::kExact, entry->resno};
    found = {Grouping::kLoose, entry->resno};
  }
  return found;
}

/// What a column of a table far below is in the rows of the top level.
GroupedColumn FindInRows(const SecuredTable &table, AttrNumber attribute) {
  GroupedColumn found = FindInGroups(table.level->query, table.index, attribute);
  for (const Level *level = table.level;
       level->upper != nullptr && found.grouping == Grouping::kExact; level = level->upper)
    found = FindInGroups(level->upper->query, level->index, found.column);
  return found;
}

// ------------------------------------------------------------------------------------ policies

struct Translation {
  const SecuredTable *table;
  const ContinuousAggregate *aggregate;
  const char *name;  // of the aggregate, which need not have a view yet
  const char *policy;
  List *columns;  // target entries of the aggregate's rows
  int levels_up;
};

[[noreturn]] void Refuse(const Translation &translation, const char *why, const char *hint) {
  ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                  errmsg("row security of table \"%s\" cannot be applied to continuous aggregate "
                         "\"%s\"",
                         get_rel_name(translation.table->table), translation.name),
                  errdetail_internal("%s", why), errhint("%s", hint)));
}

[[noreturn]] void RefuseColumn(const Translation &translation, const Var *column,
                               Grouping grouping) {
  if (column->varattno == InvalidAttrNumber)
    Refuse(translation, psprintf("Policy \"%s\" reads the whole row.", translation.policy),
           "Name columns in the policy, and group by them.");
  const char *name = get_attname(translation.table->table, column->varattno, false);
  if (column->varattno < 0)
    Refuse(
        translation,
        psprintf("Policy \"%s\" reads system column \"%s\", which a group of rows does not have.",
                 translation.policy, name),
        "Name columns in the policy, and group by them.");
  if (grouping == Grouping::kLoose)
    Refuse(translation,
           psprintf("Policy \"%s\" reads column \"%s\" of type %s, of which values that are equal, "
                    "and so in one group, can still be told apart.",
                    translation.policy, name,
                    format_type_with_typemod(column->vartype, column->vartypmod)),
           "Use a type whose equal values are the same, such as integers, or text with a "
           "deterministic collation.");
  Refuse(translation,
         psprintf("Policy \"%s\" reads column \"%s\", so it may hide some rows of a group and not "
                  "others.",
                  translation.policy, name),
         psprintf("Group by column \"%s\" itself, and select it.", name));
}

Node *TranslateColumn(const Translation &translation, const Var *column) {
  const GroupedColumn found = column->varattno > 0
                                  ? FindInRows(*translation.table, column->varattno)
                                  : GroupedColumn{Grouping::kNone, InvalidAttrNumber};
  if (found.grouping != Grouping::kExact) RefuseColumn(translation, column, found.grouping);
  auto *entry = static_cast<TargetEntry *>(list_nth(translation.columns, found.column - 1));
  Var *translated = makeVarFromTargetEntry(1, entry);
  translated->varlevelsup = column->varlevelsup;
  if (translated->vartype != column->vartype)
    elog(ERROR, "column %d of an aggregate is of another type", found.column);
  return reinterpret_cast<Node *>(translated);
}

/// A sub-select of tables would be read with the rights of the view's owner, and with the row
/// security that applies to him; in a policy it is read with those of the caller.
void RefuseTables(const Translation &translation, const Query *query) {
  ListCell *cell;
  foreach (cell, query->rtable)
    if (lfirst_node(RangeTblEntry, cell)->rtekind == RTE_RELATION)
      Refuse(translation,
             psprintf("Policy \"%s\" reads table \"%s\" with the rights of whoever runs the query, "
                      "but a view reads tables with those of its owner.",
                      translation.policy, get_rel_name(lfirst_node(RangeTblEntry, cell)->relid)),
             "Put the sub-select into a stable function: it runs with the rights of the caller.");
}

Node *Translate(Node *node, Translation *translation) {
  if (node == nullptr) return nullptr;
  auto *self = reinterpret_cast<Mutator>(reinterpret_cast<void (*)()>(Translate));
  if (IsA(node, Var) &&
      static_cast<int>(reinterpret_cast<Var *>(node)->varlevelsup) == translation->levels_up)
    return TranslateColumn(*translation, reinterpret_cast<Var *>(node));
  if (!IsA(node, Query)) return expression_tree_mutator(node, self, translation);
  RefuseTables(*translation, reinterpret_cast<Query *>(node));
  ++translation->levels_up;
  Query *query = query_tree_mutator(reinterpret_cast<Query *>(node), self, translation, 0);
  --translation->levels_up;
  return reinterpret_cast<Node *>(query);
}

Node *TranslatePolicy(Translation *translation, const RowSecurityPolicy *policy) {
  translation->policy = policy->policy_name;
  auto *qual = reinterpret_cast<Node *>(policy->qual);
  if (contain_volatile_functions(qual))
    Refuse(*translation,
           psprintf("Policy \"%s\" is volatile: it need not say the same of all rows of a group.",
                    policy->policy_name),
           "Declare its functions stable, if they are.");
  return Translate(static_cast<Node *>(copyObjectImpl(qual)), translation);
}

/// Policies of extensions change without anybody hearing of it.
void RefuseHooks(const Translation &translation, Relation relation) {
  for (const row_security_policy_hook_type hook :
       {row_security_policy_hook_permissive, row_security_policy_hook_restrictive})
    if (hook != nullptr && hook(CMD_SELECT, relation) != nullptr)
      Refuse(translation, "An extension adds policies to it.",
             "Aggregate a table without such policies.");
}

char *AppendedWith(const char *separator, char *list, const char *item) {
  return list == nullptr ? pstrdup(item) : psprintf("%s%s%s", list, separator, item);
}

/// What get_row_security_policies() would add to a query that reads the table, as a condition that
/// asks for the roles when it runs.
char *ConditionOfTable(Translation *translation, List **quals) {
  Relation relation = table_open(translation->table->table, AccessShareLock);
  RefuseHooks(*translation, relation);
  const Oid table = translation->table->table;
  char *names = pstrdup("");
  char *permissive = nullptr;
  char *restrictive = pstrdup("");
  ListCell *cell;
  foreach (cell, relation->rd_rsdesc->policies) {
    const auto *policy = static_cast<const RowSecurityPolicy *>(lfirst(cell));
    if (!IsReadingPolicy(policy->polcmd, policy->qual != nullptr)) continue;
    *quals = lappend(*quals, TranslatePolicy(translation, policy));
    const char *name = quote_literal_cstr(policy->policy_name);
    names = psprintf("%s%s%s", names, names[0] == '\0' ? "" : ", ", name);
    const char *applies =
        psprintf("(SELECT tsext.policy_applies('%u'::pg_catalog.regclass, %s))", table, name);
    if (policy->permissive)
      permissive =
          AppendedWith(" OR ", permissive, psprintf("(%s AND $%d)", applies, list_length(*quals)));
    else
      restrictive = psprintf("%s AND (NOT %s OR $%d)", restrictive, applies, list_length(*quals));
  }
  table_close(relation, NoLock);
  // Without a permissive policy nobody sees anything.
  return psprintf(
      "(NOT (SELECT tsext.row_security('%u'::pg_catalog.regclass, '%u'::pg_catalog.regclass,"
      " ARRAY[%s]::pg_catalog.name[])) OR ((%s)%s))",
      translation->aggregate->materialization, table, names,
      permissive == nullptr ? "false" : permissive, restrictive);
}

Node *SetPolicy(Node *node, List *quals) {
  if (node == nullptr) return nullptr;
  if (IsA(node, Param))
    return static_cast<Node *>(list_nth(quals, reinterpret_cast<Param *>(node)->paramid - 1));
  if (IsA(node, Query)) return node;
  auto *self = reinterpret_cast<Mutator>(reinterpret_cast<void (*)()>(SetPolicy));
  return expression_tree_mutator(node, self, quals);
}

}  // namespace

bool IsReadingPolicy(char command, bool has_condition) {
  return (command == '*' || command == ACL_SELECT_CHR) && has_condition;
}

Query *QueryOfView(Oid view) {
  Relation relation = relation_open(view, AccessShareLock);
  auto *query = static_cast<Query *>(copyObjectImpl(get_view_query(relation)));
  relation_close(relation, NoLock);
  query->rtable = list_copy_tail(query->rtable, kRuleEntries);
  OffsetVarNodes(reinterpret_cast<Node *>(query), -kRuleEntries, 0);
  ListCell *cell;
  foreach (cell, query->targetList) {
    auto *entry = lfirst_node(TargetEntry, cell);
    if (!entry->resjunk) entry->resname = get_attname(view, entry->resno, false);
  }
  return query;
}

RowCondition RowConditionOf(const ContinuousAggregate &aggregate, const char *name) {
  RowCondition condition = {nullptr, nullptr};
  Translation translation = {};
  translation.aggregate = &aggregate;
  translation.name = name;
  ListCell *cell;
  foreach (cell, SecuredTables(aggregate)) {
    translation.table = static_cast<const SecuredTable *>(lfirst(cell));
    if (translation.table->side == Side::kNulled)
      Refuse(translation,
             "It is joined by an outer join that keeps rows without it: a row that is hidden would "
             "not be missing, but make another group.",
             "Use an inner join.");
    translation.columns = QueryOfView(aggregate.direct)->targetList;
    condition.text =
        AppendedWith(" AND ", condition.text, ConditionOfTable(&translation, &condition.quals));
  }
  return condition;
}

bool HasRowSecurityBelow(const ContinuousAggregate &aggregate) {
  return SecuredTables(aggregate) != nullptr;
}

void SetPolicies(Query *query, const RowCondition &condition) {
  query->jointree->quals = SetPolicy(query->jointree->quals, condition.quals);
}

bool SeesAllRows(const ContinuousAggregate &aggregate, Oid role) {
  ListCell *cell;
  foreach (cell, SecuredTables(aggregate))
    if (check_enable_rls(static_cast<const SecuredTable *>(lfirst(cell))->table, role, true) ==
        RLS_ENABLED)
      return false;
  return true;
}

void RequireAllRows(const ContinuousAggregate &aggregate, const char *name) {
  ListCell *cell;
  foreach (cell, SecuredTables(aggregate)) {
    const auto *table = static_cast<const SecuredTable *>(lfirst(cell));
    // Levels in between compute with the rights of their owners what is not stored.
    for (const Level *level = table->level; level != nullptr; level = level->upper)
      RequireRowsOfOwner(table->table, level->aggregate->materialization,
                         level->upper == nullptr ? name : get_rel_name(level->aggregate->view));
  }
}

}  // namespace tsext::pg
