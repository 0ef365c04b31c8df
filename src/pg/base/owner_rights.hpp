#pragma once

// Running what a table's owner wrote (index expressions, integer_now functions) with the owner's
// rights, so that whoever triggers it need not trust the owner. An error gives the rights back at
// its abort.

#include "pg/base/postgres.hpp"

namespace tsext::pg {

struct OwnerRights {
  Oid user;
  int context;
  int settings;
};

OwnerRights TakeOwnerRights(Relation relation);
void GiveBackRights(const OwnerRights &saved);

}  // namespace tsext::pg
