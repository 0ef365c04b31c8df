#pragma once

// What both listeners do with lines: a transaction under a role, through that role's router, with
// its counters.

#include "pg/ingest/listener.hpp"

namespace tsext::pg {

struct LineStore;

/// Lives as long as the worker.
LineStore *LineStoreCreate();
/// After SIGHUP.
void LineStoreReload(LineStore *store);

enum class StoreOutcome : uint8_t {
  kCommitted,  ///< the requests say what was stored and what rejected
  kRetry,      ///< nothing is stored; it may be when sent again
  kFailed,     ///< nothing is stored, and will not be
};

struct StoreResult {
  StoreOutcome outcome;
  int sqlstate;         ///< of the error, 0: none
  const char *message;  ///< in the caller's memory, nullptr: no error
};

/// Who sent a request, for tsext.rejected_lines.
struct PeerNames {
  void (*name)(void *context, int request, char *to, size_t size);
  void *context;
};

/// Stores the requests in one transaction as `role` (InvalidOid: the worker's own) and counts lines
/// when it has committed. The requests' texts of errors lie in the caller's memory.
StoreResult StoreLines(LineStore *store, Oid role, const char *schema, LineRequest *requests,
                       int count, const PeerNames &peers, Counters *counters);

/// Counts the lines of requests that nothing came of.
void CountLostLines(const LineRequest *requests, int count, Counters *counters);

/// Whether the database has the extension. In a transaction.
bool ExtensionExists();

}  // namespace tsext::pg
