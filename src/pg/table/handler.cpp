// The access method's table of callbacks.

#include "pg/base/boundary.hpp"

extern "C" {
#include "catalog/pg_am_d.h"
}

TSEXT_FUNCTION(tsext_handler) {
  static TableAmRoutine routine = *GetHeapamTableAmRoutine();
  routine.relation_toast_am = [](Relation) -> Oid { return HEAP_TABLE_AM_OID; };
  PG_RETURN_POINTER(&routine);
}
