#pragma once

// The only file that includes postgres.h. Standard and tsext/ headers come before this one:
// PostgreSQL's macros collide with names in both. Differences between server versions are settled
// here and nowhere else.

extern "C" {
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
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
#else
#define TSEXT_RELATION_LOCATOR(relation) ((relation)->rd_node)
using TsextUpdateIndexes = bool;
#endif
