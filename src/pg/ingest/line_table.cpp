// Tables and columns of measurements: what there is, and making what there is not.
//
// Definitions are read from the catalogs without a lock, so that a table that somebody holds delays
// nobody's lines but its own. Invalidation messages mark what may have changed since; once the
// table is locked for inserting, a marked one is read again.

#include <algorithm>
#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/base/transaction.hpp"
#include "pg/catalog/options.hpp"
#include "pg/ingest/router_state.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/heap.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace tsext::pg {
namespace {

constexpr char kTimeColumn[] = "time";
constexpr char kNanosecondsColumn[] = "time_ns";
constexpr char kTagComment[] = "tag";
constexpr char kFieldComment[] = "field";
constexpr char kNanosecondsFault[] = "\"time_ns\" is the name of the column of nanoseconds";

Router *all_routers = nullptr;

void MarkStale(Datum, Oid relation_id) noexcept {
  for (Router *router = all_routers; router != nullptr; router = router->next)
    for (LineTable *table = router->tables; table != nullptr; table = table->next)
      if (relation_id == InvalidOid || table->relation_id == relation_id) table->is_stale = true;
}

void Unlink(void *router) noexcept {
  Router **at = &all_routers;
  while (*at != nullptr && *at != router) at = &(*at)->next;
  if (*at != nullptr) *at = (*at)->next;
}

// ---------------------------------------------------------------------------------------------
// Names

/// Why this cannot be the name of a table or column; nullptr: it can.
const char *NameFault(std::string_view name, const char *what) {
  if (name.size() >= NAMEDATALEN)
    return psprintf("the name of a %s has more than %d bytes: \"%.40s...\"", what, NAMEDATALEN - 1,
                    CopyText(CurrentMemoryContext, name.substr(0, 40)).data());
  for (const char c : name)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f)
      return psprintf("the name of a %s has a control character", what);
  return nullptr;
}

const char *ColumnNameFault(const Router *router, const char *name) {
  if (strcmp(name, kTimeColumn) == 0) return "\"time\" is the name of the time column";
  if (SystemAttributeByName(name) != nullptr)
    return psprintf("\"%s\" is the name of a system column", name);
  if (router->options.keep_ns && strcmp(name, kNanosecondsColumn) == 0) return kNanosecondsFault;
  return nullptr;
}

bool Refuse(Reject *reject, RejectReason reason, const char *message) {
  reject->reason = reason;
  reject->message = message;
  reject->retry = false;
  return false;
}

// ---------------------------------------------------------------------------------------------
// Reading definitions

/// Not through the syscache: it would remember each of a flood of names that do not exist.
Oid LookUpRelation(const char *name, Oid schema, char *kind) {
  Relation catalog = table_open(RelationRelationId, AccessShareLock);
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], Anum_pg_class_relname, BTEqualStrategyNumber, F_NAMEEQ,
              CStringGetDatum(name));
  ScanKeyInit(&keys[1], Anum_pg_class_relnamespace, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(schema));
  SysScanDesc scan = systable_beginscan(catalog, ClassNameNspIndexId, true, nullptr, 2, keys);
  const HeapTuple tuple = systable_getnext(scan);
  Oid id = InvalidOid;
  if (HeapTupleIsValid(tuple)) {
    const auto *form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
    id = form->oid;
    *kind = form->relkind;
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  return id;
}

int64_t CountTables(Oid schema) {
  Relation catalog = table_open(RelationRelationId, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_class_relnamespace, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(schema));
  SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, nullptr, 1, &key);
  int64_t count = 0;
  for (HeapTuple tuple; HeapTupleIsValid(tuple = systable_getnext(scan));) {
    const char kind = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relkind;
    if (kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE) count++;
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  return count;
}

/// Base type of an attribute; InvalidOid when nothing may be written to it.
Oid WritableType(Form_pg_attribute attribute) {
  return attribute->attgenerated != '\0' ? Oid{InvalidOid} : getBaseType(attribute->atttypid);
}

bool IsPlain(Form_pg_attribute attribute) {
  return attribute->atttypmod == -1 && get_typtype(attribute->atttypid) != TYPTYPE_DOMAIN;
}

/// Calls visit(Form_pg_attribute) for the columns of a table.
template <typename Visit>
void ForEachAttribute(Oid relation_id, Visit &&visit) {
  Relation catalog = table_open(AttributeRelationId, AccessShareLock);
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], Anum_pg_attribute_attrelid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(relation_id));
  ScanKeyInit(&keys[1], Anum_pg_attribute_attnum, BTGreaterStrategyNumber, F_INT2GT,
              Int16GetDatum(0));
  SysScanDesc scan = systable_beginscan(catalog, AttributeRelidNumIndexId, true, nullptr, 2, keys);
  for (HeapTuple tuple; HeapTupleIsValid(tuple = systable_getnext(scan));) {
    auto *attribute = reinterpret_cast<Form_pg_attribute>(GETSTRUCT(tuple));
    if (!attribute->attisdropped) visit(attribute);
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
}

int AddColumn(Router *router, LineTable *table, std::string_view name, Oid type) {
  if (table->column_count == table->column_capacity) {
    const int capacity = std::max(8, table->column_capacity * 2);
    auto *grown = static_cast<LineColumn *>(
        MemoryContextAlloc(router->known, sizeof(LineColumn) * static_cast<size_t>(capacity)));
    std::copy_n(table->columns, table->column_count, grown);
    table->columns = grown;
    table->column_capacity = capacity;
  }
  LineColumn column = {};
  column.name = CopyText(router->known, name);
  column.type = type;
  const int index = table->column_count++;
  table->columns[index] = column;
  ByteMapAdd(&table->column_map, column.name,
             reinterpret_cast<void *>(static_cast<uintptr_t>(index) + 1));
  return index;
}

int IndexOfColumn(const LineTable *table, std::string_view name) {
  return static_cast<int>(reinterpret_cast<uintptr_t>(ByteMapFind(table->column_map, name))) - 1;
}

void ReadDefinition(Router *router, LineTable *table) {
  table->is_stale = false;
  ForEachAttribute(table->relation_id, [&](Form_pg_attribute attribute) {
    table->column_total++;
    const char *name = NameStr(attribute->attname);
    if (strcmp(name, kTimeColumn) == 0) {
      table->time_type = WritableType(attribute);
      table->time_attribute = attribute->attnum;
      return;
    }
    const int index = AddColumn(router, table, name, WritableType(attribute));
    LineColumn &column = table->columns[index];
    column.attribute = attribute->attnum;
    column.is_plain = IsPlain(attribute);
    const char *comment = GetComment(table->relation_id, RelationRelationId, attribute->attnum);
    column.is_tag = comment != nullptr && strcmp(comment, kTagComment) == 0;
    column.is_field = comment != nullptr && strcmp(comment, kFieldComment) == 0;
    column.is_nanoseconds = router->options.keep_ns && strcmp(name, kNanosecondsColumn) == 0;
    if (column.is_nanoseconds) table->nanoseconds = index;
  });
  if (table->time_type != TIMESTAMPTZOID && table->time_type != TIMESTAMPOID)
    Refuse(&table->reject, RejectReason::kTypeConflict,
           MemoryContextStrdup(
               router->known,
               psprintf("table \"%s\" has no column \"time\" of type timestamp with time zone",
                        table->name.data())));
  const LineColumn *nanoseconds =
      table->nanoseconds < 0 ? nullptr : &table->columns[table->nanoseconds];
  if (nanoseconds != nullptr && nanoseconds->type != INT2OID && nanoseconds->type != INT4OID &&
      nanoseconds->type != INT8OID)
    Refuse(&table->reject, RejectReason::kTypeConflict,
           MemoryContextStrdup(
               router->known,
               psprintf("column \"time_ns\" of table \"%s\" is no smallint", table->name.data())));
}

LineTable *AddTable(Router *router, std::string_view name, Oid relation_id) {
  auto *table = static_cast<LineTable *>(MemoryContextAllocZero(router->known, sizeof(LineTable)));
  table->name = CopyText(router->known, name);
  table->relation_id = relation_id;
  table->kind = RELKIND_RELATION;
  table->time_type = InvalidOid;
  table->nanoseconds = -1;
  for (ByteMap *map : {&table->column_map, &table->tag_sets, &table->layouts, &table->unions}) {
    map->context = router->known;
    map->seed = router->seed;
  }
  table->next = router->tables;
  router->tables = table;
  ByteMapAdd(&router->table_map, table->name, table);
  return table;
}

/// time_ns, where it is wanted and there is none.
void WantNanoseconds(Router *router, LineTable *table) {
  if (!router->options.keep_ns || table->nanoseconds >= 0) return;
  table->nanoseconds = AddColumn(router, table, kNanosecondsColumn, INT2OID);
  LineColumn &column = table->columns[table->nanoseconds];
  column.is_plain = column.is_nanoseconds = true;
  table->column_total++;
}

bool MayMakeTable(Router *router, Reject *reject) {
  if (!router->options.auto_create)
    return Refuse(reject, RejectReason::kLimit,
                  "there is no table for the measurement, and tsext.auto_create is off");
  if (pg_namespace_aclcheck(router->schema_id, GetUserId(), ACL_CREATE) != ACLCHECK_OK)
    return Refuse(reject, RejectReason::kPermission,
                  psprintf("permission denied for schema \"%s\"", router->schema));
  if (router->table_total < 0) router->table_total = CountTables(router->schema_id);
  if (router->table_total >= router->options.max_tables)
    return Refuse(reject, RejectReason::kLimit,
                  psprintf("schema \"%s\" has %lld tables already (tsext.max_tables)",
                           router->schema, static_cast<long long>(router->table_total)));
  return true;
}

/// Whether a tag or field may go to a column of its name.
bool MayTakeColumn(const LineTable *table, const LineColumn &column, bool is_tag, Reject *reject) {
  if (column.is_nanoseconds) return Refuse(reject, RejectReason::kName, kNanosecondsFault);
  if (is_tag ? column.is_field : column.is_tag)
    return Refuse(reject, RejectReason::kName,
                  psprintf("\"%s\" is a %s of table \"%s\", but was sent as a %s",
                           column.name.data(), is_tag ? kFieldComment : kTagComment,
                           table->name.data(), is_tag ? kTagComment : kFieldComment));
  if (is_tag && column.type != TEXTOID && column.type != VARCHAROID && column.type != BPCHAROID &&
      column.type != NAMEOID)
    return Refuse(reject, RejectReason::kTypeConflict,
                  psprintf("\"%s\" is a tag, its column of type %s", column.name.data(),
                           TypeText(column.type)));
  return true;
}

bool MayAddColumn(const Router *router, const LineTable *table, std::string_view name, bool is_tag,
                  Reject *reject) {
  const char *fault = NameFault(name, is_tag ? kTagComment : kFieldComment);
  if (fault == nullptr) fault = ColumnNameFault(router, name.data());
  if (fault != nullptr) return Refuse(reject, RejectReason::kName, fault);
  if (OidIsValid(table->relation_id) && !router->options.auto_add_columns)
    return Refuse(reject, RejectReason::kLimit,
                  psprintf("table \"%s\" has no column \"%s\", and tsext.auto_add_columns is off",
                           table->name.data(), name.data()));
  if (table->column_total >= router->options.max_columns)
    return Refuse(reject, RejectReason::kLimit,
                  psprintf("table \"%s\" has %d columns already (tsext.max_columns)",
                           table->name.data(), table->column_total));
  return true;
}

// ---------------------------------------------------------------------------------------------
// Making tables and columns

const char *SqlType(Oid type) {
  switch (type) {
    case FLOAT8OID:
      return "pg_catalog.float8";
    case INT8OID:
      return "pg_catalog.int8";
    case NUMERICOID:
      return "pg_catalog.numeric";
    case BOOLOID:
      return "pg_catalog.bool";
    case INT2OID:
      return "pg_catalog.int2";
    default:
      return "pg_catalog.text";
  }
}

bool IsNew(const LineColumn &column) {
  return column.attribute == 0 && column.is_used;
}

/// The segment_by list: the tags, as many as may be.
const char *TagList(const LineTable *table) {
  StringInfoData list;
  initStringInfo(&list);
  int count = 0;
  for (int i = 0; i < table->column_count && count < kMaxSortColumns; i++) {
    const LineColumn &column = table->columns[i];
    if (!column.is_tag || (column.attribute == 0 && !column.is_used)) continue;
    appendStringInfo(&list, "%s%s", count++ == 0 ? "" : ", ", quote_identifier(column.name.data()));
  }
  return list.data;
}

const char *QualifiedName(const Router *router, const LineTable *table) {
  return quote_qualified_identifier(router->schema, table->name.data());
}

void Execute(const char *sql) {
  const int result = SPI_execute(sql, false, 0);
  if (result < 0) elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(result));
}

void CreateTable(Router *router, LineTable *table) {
  StringInfoData sql;
  initStringInfo(&sql);
  appendStringInfo(&sql, "CREATE TABLE %s (\"time\" pg_catalog.timestamptz NOT NULL",
                   QualifiedName(router, table));
  // Tags first: they are read together with the time.
  for (const bool tags : {true, false})
    for (int i = 0; i < table->column_count; i++) {
      const LineColumn &column = table->columns[i];
      if (!IsNew(column) || column.is_tag != tags) continue;
      appendStringInfo(&sql, ", %s %s", quote_identifier(column.name.data()), SqlType(column.type));
    }
  appendStringInfoString(&sql, ") USING tsext");
  const char *tag_list = TagList(table);
  if (*tag_list != '\0')
    appendStringInfo(&sql, " WITH (tsext.segment_by = %s)", quote_literal_cstr(tag_list));
  Execute(sql.data);
  char kind;
  table->relation_id = LookUpRelation(table->name.data(), router->schema_id, &kind);
}

/// Whether the table's segments are sorted by its tags, so that a new tag belongs there too.
bool FollowsTags(const LineTable *table) {
  if (!IsTsextTable(table->relation_id)) return false;
  Relation relation = table_open(table->relation_id, NoLock);
  const TableOptions *options = GetTableOptions(relation);
  int tags = 0, found = 0;
  for (int i = 0; i < table->column_count; i++) {
    const LineColumn &column = table->columns[i];
    if (!column.is_tag || column.attribute == 0) continue;
    tags++;
    const AttrNumber *end = options->segment_by + options->segment_by_count;
    if (std::find(options->segment_by, end, column.attribute) != end) found++;
  }
  const bool is_given = options->segment_by_is_given && !options->segment_by_is_automatic;
  const bool follows = is_given ? tags > 0 && tags < kMaxSortColumns && found == tags &&
                                      options->segment_by_count == tags
                                : tags == 0;
  table_close(relation, NoLock);
  return follows;
}

void AddColumns(Router *router, LineTable *table) {
  StringInfoData sql;
  initStringInfo(&sql);
  appendStringInfo(&sql, "ALTER TABLE %s", QualifiedName(router, table));
  bool has_tags = false;
  char separator = ' ';
  for (int i = 0; i < table->column_count; i++) {
    const LineColumn &column = table->columns[i];
    if (!IsNew(column)) continue;
    appendStringInfo(&sql, "%cADD COLUMN %s %s", separator, quote_identifier(column.name.data()),
                     SqlType(column.type));
    separator = ',';
    has_tags |= column.is_tag;
  }
  Execute(sql.data);
  if (!has_tags || !FollowsTags(table)) return;
  resetStringInfo(&sql);
  appendStringInfo(&sql, "ALTER TABLE %s SET (tsext.segment_by = %s)", QualifiedName(router, table),
                   quote_literal_cstr(TagList(table)));
  Execute(sql.data);
}

void WriteComments(const LineTable *table) {
  for (int i = 0; i < table->column_count; i++) {
    const LineColumn &column = table->columns[i];
    if (!IsNew(column) || column.is_nanoseconds) continue;
    const AttrNumber attribute = get_attnum(table->relation_id, column.name.data());
    CreateComments(table->relation_id, RelationRelationId, attribute,
                   column.is_tag ? kTagComment : kFieldComment);
  }
}

struct SchemaChange {
  Router *router;
  LineTable *table;
  bool found_other;  // somebody else made the table, or changed it
};

/// Until the GUC level ends; a shorter one of the user's stays.
void LimitLockTimeout(int timeout_ms) {
  if (LockTimeout > 0 && LockTimeout <= timeout_ms) return;
  char text[32];
  snprintf(text, sizeof text, "%d", timeout_ms);
  set_config_option("lock_timeout", text, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                    false);
}

void ChangeSchema(void *state) {
  auto *change = static_cast<SchemaChange *>(state);
  Router *router = change->router;
  LineTable *table = change->table;
  const int guc_level = NewGUCNestLevel();
  LimitLockTimeout(router->options.lock_timeout_ms);
  // One session at a time changes a schema's tables here; it is let go of at the transaction's end,
  // when others can see what was made. Ordinary DDL does not wait for it.
  LockDatabaseObject(NamespaceRelationId, router->schema_id, 0, ShareUpdateExclusiveLock);
  AcceptInvalidationMessages();
  char kind;
  const Oid existing = LookUpRelation(table->name.data(), router->schema_id, &kind);
  change->found_other =
      existing != table->relation_id || (table->is_stale && !IsTableAsKnown(router, table));
  if (!change->found_other) {
    SPI_connect();
    if (OidIsValid(existing))
      AddColumns(router, table);
    else
      CreateTable(router, table);
    SPI_finish();
    WriteComments(table);
    CommandCounterIncrement();
  }
  AtEOXact_GUC(true, guc_level);
}

/// Marks what rows of the batch need; returns whether anything has to be made.
bool FindNeeds(LineTable *table) {
  for (int i = 0; i < table->column_count; i++) table->columns[i].is_used = false;
  if (table->nanoseconds >= 0) table->columns[table->nanoseconds].is_used = true;
  for (uint32_t i = 0; i < table->row_count; i++) {
    const LineRow &row = table->rows[i];
    const TagColumns *tags = row.series->tags;
    for (int tag = 0; tag < tags->count; tag++) table->columns[tags->columns[tag]].is_used = true;
    for (int value = 0; value < row.layout->value_count; value++)
      table->columns[row.layout->columns[value]].is_used = true;
  }
  bool needs = !OidIsValid(table->relation_id);
  for (int i = 0; i < table->column_count; i++) needs |= IsNew(table->columns[i]);
  return needs;
}

/// Whether anything known of the table does not exist; the rows may not need it.
bool HasMissing(const LineTable *table) {
  if (!OidIsValid(table->relation_id)) return true;
  for (int i = 0; i < table->column_count; i++)
    if (table->columns[i].attribute == 0) return true;
  return false;
}

bool NeedsMissingColumn(const LineTable *table, const LineRow &row) {
  if (table->nanoseconds >= 0 && table->columns[table->nanoseconds].attribute == 0) return true;
  const TagColumns *tags = row.series->tags;
  for (int tag = 0; tag < tags->count; tag++)
    if (table->columns[tags->columns[tag]].attribute == 0) return true;
  for (int value = 0; value < row.layout->value_count; value++)
    if (table->columns[row.layout->columns[value]].attribute == 0) return true;
  return false;
}

/// Takes note of what was made.
void TakeMade(Router *router, LineTable *table, bool is_new_table) {
  ForEachAttribute(table->relation_id, [&](Form_pg_attribute attribute) {
    if (strcmp(NameStr(attribute->attname), kTimeColumn) == 0) {
      table->time_type = attribute->atttypid;
      table->time_attribute = attribute->attnum;
      return;
    }
    const int index = IndexOfColumn(table, NameStr(attribute->attname));
    if (index < 0 || table->columns[index].attribute != 0) return;
    table->columns[index].attribute = attribute->attnum;
    if (!is_new_table) router->stats.columns_added++;
  });
  if (is_new_table) router->stats.tables_created++;
  table->is_stale = false;
}

}  // namespace

const char *TypeText(Oid type) {
  return OidIsValid(type) ? format_type_be(type) : "that is generated";
}

void WatchTables(Router *router) {
  static bool is_watching = false;
  if (!is_watching) {
    CacheRegisterRelcacheCallback(MarkStale, 0);
    is_watching = true;
  }
  router->next = all_routers;
  all_routers = router;
  router->unlink.func = Unlink;
  router->unlink.arg = router;
  MemoryContextRegisterResetCallback(router->context, &router->unlink);
}

LineTable *FindTable(Router *router, std::string_view name, Reject *reject) {
  auto *table = static_cast<LineTable *>(ByteMapFind(router->table_map, name));
  if (table != nullptr) return table;
  const char *fault = NameFault(name, "measurement");
  if (fault != nullptr) {
    Refuse(reject, RejectReason::kName, fault);
    return nullptr;
  }
  const std::string_view own_name = CopyText(router->batch, name);
  char kind = RELKIND_RELATION;
  const Oid relation_id = LookUpRelation(own_name.data(), router->schema_id, &kind);
  if (!OidIsValid(relation_id)) {
    if (!MayMakeTable(router, reject)) return nullptr;
    router->table_total++;
    table = AddTable(router, name, InvalidOid);
    table->column_total = 1;  // the time
    // Its lines may be refused yet.
    router->must_forget = true;
  } else if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE &&
             kind != RELKIND_VIEW && kind != RELKIND_FOREIGN_TABLE) {
    Refuse(reject, RejectReason::kName, psprintf("\"%s\" is not a table", own_name.data()));
    return nullptr;
  } else {
    table = AddTable(router, name, relation_id);
    table->kind = kind;
    ReadDefinition(router, table);
    if (table->reject) router->must_forget = true;
  }
  WantNanoseconds(router, table);
  return table;
}

int FindColumn(Router *router, LineTable *table, std::string_view name, bool is_tag, Oid type,
               Reject *reject) {
  const int known = IndexOfColumn(table, name);
  if (known >= 0) return MayTakeColumn(table, table->columns[known], is_tag, reject) ? known : -1;
  if (!MayAddColumn(router, table, CopyText(router->batch, name), is_tag, reject)) return -1;
  const int index = AddColumn(router, table, name, type);
  LineColumn &column = table->columns[index];
  column.is_plain = true;
  column.is_tag = is_tag;
  column.is_field = !is_tag;
  table->column_total++;
  // Its line may be refused yet.
  router->must_forget = true;
  return index;
}

bool IsTableAsKnown(Router *router, LineTable *table) {
  table->is_stale = false;
  char kind = RELKIND_RELATION;
  const Oid relation_id = LookUpRelation(table->name.data(), router->schema_id, &kind);
  if (relation_id != table->relation_id || kind != table->kind) return false;
  if (!OidIsValid(relation_id)) return true;
  int found = 0, expected = 0;
  bool is_same = true;
  ForEachAttribute(relation_id, [&](Form_pg_attribute attribute) {
    found++;
    if (attribute->attnum == table->time_attribute) {
      is_same &= strcmp(NameStr(attribute->attname), kTimeColumn) == 0 &&
                 WritableType(attribute) == table->time_type;
      return;
    }
    const int index = IndexOfColumn(table, NameStr(attribute->attname));
    if (index < 0) {
      is_same = false;
      return;
    }
    const LineColumn &column = table->columns[index];
    is_same &= column.attribute == attribute->attnum && column.type == WritableType(attribute) &&
               column.is_plain == IsPlain(attribute);
  });
  if (table->time_attribute != 0) expected++;
  for (int i = 0; i < table->column_count; i++) expected += table->columns[i].attribute != 0;
  return is_same && found == expected;
}

void MakeTableAndColumns(Router *router, LineTable *table) {
  if (!HasMissing(table) || !FindNeeds(table)) return;
  const bool is_new_table = !OidIsValid(table->relation_id);
  SchemaChange change{router, table, false};
  ErrorData *error = TrySubtransaction(ChangeSchema, &change);
  if (error == nullptr && change.found_other) {
    table->is_stale = true;  // InsertRows() asks for another start
    return;
  }
  if (error == nullptr) return TakeMade(router, table, is_new_table);

  if (is_new_table) table->relation_id = InvalidOid;
  const Reject reject = RejectFor(router, error);
  for (uint32_t i = 0; i < table->row_count; i++) {
    LineRow &row = table->rows[i];
    if (!is_new_table && !NeedsMissingColumn(table, row)) continue;
    RejectRow(router, table, i, reject);
    row.layout = nullptr;
  }
}

}  // namespace tsext::pg
