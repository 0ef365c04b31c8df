#include "pg/function/readable.hpp"

#include "pg/base/boundary.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "access/table.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
}

namespace tsext::pg {

Relation OpenReadable(Oid relation_id) {
  const char *name = get_rel_name(relation_id);
  if (name == nullptr)
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                    errmsg("relation with OID %u does not exist", relation_id)));
  if (!IsTsextTable(relation_id))
    ereport(ERROR,
            (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a tsext table", name)));
  const AclResult result = pg_class_aclcheck(relation_id, GetUserId(), ACL_SELECT);
  if (result != ACLCHECK_OK)
    aclcheck_error(result, get_relkind_objtype(get_rel_relkind(relation_id)), name);
  if (check_enable_rls(relation_id, InvalidOid, true) == RLS_ENABLED)
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("row security of table \"%s\" hides rows from the current user", name),
                    errdetail("What segments say of their rows covers all rows.")));
  return table_open(relation_id, AccessShareLock);
}

}  // namespace tsext::pg
