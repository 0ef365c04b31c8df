#pragma once

// The only file that includes postgres.h. Standard and tsext/ headers come before this one:
// PostgreSQL's macros collide with names in both. Differences between server versions are settled
// here and nowhere else.

extern "C" {
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
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

// 17 samples by a read stream, which has no place for blocks of cold rows: ANALYZE reads hot rows
// only.
#define TSEXT_ANALYZE_READS_BLOCKS (PG_VERSION_NUM < 170000)
// 15 and 16 have old_snapshot_threshold: a TOAST snapshot carries the age of the reader's.
#define TSEXT_SNAPSHOTS_GROW_OLD (PG_VERSION_NUM < 170000)

#if PG_VERSION_NUM >= 160000
using TsextFileLocator = RelFileLocator;
#define TSEXT_SET_NEW_FILE relation_set_new_filelocator
#else
using TsextFileLocator = RelFileNode;
#define TSEXT_SET_NEW_FILE relation_set_new_filenode
#endif

/// Whether `role` owns the relation (or is a superuser).
inline bool TsextOwnsRelation(Oid relation, Oid role) {
#if PG_VERSION_NUM >= 160000
  return object_ownercheck(RelationRelationId, relation, role);
#else
  return pg_class_ownercheck(relation, role);
#endif
}

/// Whether `role` owns the database (or is a superuser).
inline bool TsextOwnsDatabase(Oid database, Oid role) {
#if PG_VERSION_NUM >= 160000
  return object_ownercheck(DatabaseRelationId, database, role);
#else
  return pg_database_ownercheck(database, role);
#endif
}

/// Whether `role` may execute the function.
inline bool TsextMayExecute(Oid function, Oid role) {
#if PG_VERSION_NUM >= 160000
  return object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE) == ACLCHECK_OK;
#else
  return pg_proc_aclcheck(function, role, ACL_EXECUTE) == ACLCHECK_OK;
#endif
}
