#include "pg/base/owner_rights.hpp"

#include "pg/base/boundary.hpp"

extern "C" {
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/rel.h"
}

namespace tsext::pg {

OwnerRights TakeOwnerRights(Relation relation) {
  OwnerRights saved;
  GetUserIdAndSecContext(&saved.user, &saved.context);
  SetUserIdAndSecContext(relation->rd_rel->relowner, saved.context | SECURITY_RESTRICTED_OPERATION);
  saved.settings = NewGUCNestLevel();
  return saved;
}

void GiveBackRights(const OwnerRights &saved) {
  AtEOXact_GUC(false, saved.settings);
  SetUserIdAndSecContext(saved.user, saved.context);
}

}  // namespace tsext::pg
