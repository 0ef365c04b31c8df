#include "pg/catalog/segment.hpp"

#include "pg/base/boundary.hpp"

extern "C" {
#include "commands/trigger.h"
}

/// A trigger that fires in replication workers only and drops the row.
TSEXT_FUNCTION(tsext_ignore_replicated_row) {
  if (!CALLED_AS_TRIGGER(fcinfo))
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                    errmsg("must be called as a trigger")));
  return PointerGetDatum(nullptr);
}
