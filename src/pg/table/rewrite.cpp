#include "pg/table/rewrite.hpp"

#include "pg/base/boundary.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/table/delegation.hpp"
#include "pg/table/scan.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace tsext::pg {

namespace {

object_access_hook_type previous_object_access = nullptr;

#if PG_VERSION_NUM >= 160000
using FileLocator = RelFileLocator;
#define TSEXT_SET_NEW_FILE relation_set_new_filelocator
#else
using FileLocator = RelFileNode;
#define TSEXT_SET_NEW_FILE relation_set_new_filenode
#endif

/// Forgets the segments of a table that loses all its rows; rolled back with the transaction. The
/// pieces go with the TOAST table's file.
void ForgetSegments(Relation relation) {
  const Oid store = relation->rd_rel->reltoastrelid;
  if (OidIsValid(store) && RelationIsPermanent(relation)) Enter([&] { DeleteStore(store); });
}

// CREATE TABLE comes here before the table has a store, TRUNCATE after.
void SetNewFile(Relation relation, const FileLocator *locator, char persistence,
                TransactionId *freeze_xid, MultiXactId *minimum_multi) {
  Heap()->TSEXT_SET_NEW_FILE(relation, locator, persistence, freeze_xid, minimum_multi);
  ForgetSegments(relation);
}

// TRUNCATE of a table that this subtransaction made.
void NontransactionalTruncate(Relation relation) {
  Heap()->relation_nontransactional_truncate(relation);
  ForgetSegments(relation);
}

void CopyForCluster(Relation old_table, Relation new_table, Relation index, bool use_sort,
                    TransactionId oldest_xmin, TransactionId *xid_cutoff, MultiXactId *multi_cutoff,
                    double *tuples, double *vacuumed, double *recently_dead) {
  Delegate(old_table, [&] {
    Heap()->relation_copy_for_cluster(old_table, new_table, index, use_sort, oldest_xmin,
                                      xid_cutoff, multi_cutoff, tuples, vacuumed, recently_dead);
  });
}

/// A table goes, and its store with it. Comes before its rows leave the catalogs, but maybe after
/// those of the extension did.
void TableDropped(Oid relation_id) {
  if (!IsTsextTable(relation_id)) return;
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation_id));
  if (!HeapTupleIsValid(tuple)) return;
  const Oid store = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->reltoastrelid;
  ReleaseSysCache(tuple);
  DeleteStore(store);
}

void ObjectAccessed(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id,
                    void *argument) {
  if (previous_object_access != nullptr)
    previous_object_access(access, class_id, object_id, sub_id, argument);
  if (access == OAT_DROP && class_id == RelationRelationId && sub_id == 0)
    Enter([&] { TableDropped(object_id); });
}

}  // namespace

void SetRewriteCallbacks(TableAmRoutine *routine) {
  routine->TSEXT_SET_NEW_FILE = SetNewFile;
  routine->relation_nontransactional_truncate = NontransactionalTruncate;
  routine->relation_copy_for_cluster = CopyForCluster;
}

void InitRewrite() {
  previous_object_access = object_access_hook;
  object_access_hook = ObjectAccessed;
}

}  // namespace tsext::pg
