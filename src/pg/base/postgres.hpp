#pragma once

// The only file that includes postgres.h. Standard and tsext/ headers come before this one:
// PostgreSQL's macros collide with names in both. Differences between server versions are settled
// here and nowhere else.

extern "C" {
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
}

#undef gettext
#undef dgettext
#undef ngettext
#undef dngettext
#undef snprintf
#undef vsnprintf
#undef sprintf
#undef printf
#undef fprintf
#undef vprintf
#undef vfprintf
#undef strerror
#undef strerror_r

#if PG_VERSION_NUM >= 160000
#define TSEXT_RELATION_LOCATOR(relation) ((relation)->rd_locator)
using TsextUpdateIndexes = TU_UpdateIndexes;
// Sets `type` to TZ, DTZ or DYNTZ for a known abbreviation in lower case. Needs utils/datetime.h.
#define TSEXT_DECODE_ZONE_ABBREVIATION(name, type, offset, zone)            \
  do {                                                                      \
    DateTimeErrorExtra extra;                                               \
    if (DecodeTimezoneAbbrev(0, name, &(type), &(offset), &(zone), &extra)) \
      (type) = UNKNOWN_FIELD;                                               \
  } while (false)
#else
#define TSEXT_DECODE_ZONE_ABBREVIATION(name, type, offset, zone) \
  ((type) = DecodeTimezoneAbbrev(0, name, &(offset), &(zone)))
#define TSEXT_RELATION_LOCATOR(relation) ((relation)->rd_node)
using TsextUpdateIndexes = bool;
#endif

/// Whether `role` owns the relation (or is a superuser).
inline bool TsextOwnsRelation(Oid relation, Oid role) {
#if PG_VERSION_NUM >= 160000
  return object_ownercheck(RelationRelationId, relation, role);
#else
  return pg_class_ownercheck(relation, role);
#endif
}
