#include "pg/base/read_only.hpp"

#include "pg/base/boundary.hpp"

extern "C" {
#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/elog.h"
}

namespace tsext::pg {

void RefuseReadOnly(const char *command) {
  if (RecoveryInProgress()) {
    ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
                    errmsg("cannot execute %s during recovery", command),
                    errdetail("This server is a standby, or is being restored."),
                    errhint("Execute it on the primary server.")));
  }
  PreventCommandIfReadOnly(command);
}

}  // namespace tsext::pg
