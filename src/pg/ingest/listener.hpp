#pragma once

// The listeners' workers: one background worker for datagrams, one for HTTP. The launcher starts
// them while their address is set; each finds its place, its counters and the last rejected lines
// in shared memory.

#include <cstdint>

#include "pg/base/postgres.hpp"
#include "pg/ingest/router.hpp"

extern "C" {
#include "datatype/timestamp.h"
}

namespace tsext::pg {

enum class ListenerKind : int { kUdp, kHttp };
inline constexpr int kListenerCount = 2;
const char *ListenerName(ListenerKind kind);

/// What is counted; names and meanings stand in listener_stats.cpp. Rejected lines are counted by
/// reason, at kRejected + reason. Always: kLines = kStored + all of kRejected.
enum Counter : int {
  kLines,
  kStored,
  kRejected,
  kBytes = kRejected + kRejectReasonCount,
  kBatches,
  kFailedBatches,
  kRetries,
  kWidened,
  kMerged,
  kTablesCreated,
  kColumnsAdded,
  kDatagrams,
  kDatagramsDropped,
  kDatagramsTruncated,
  kConnections,
  kRequests,
  kRequestsRefused,
  kRequestsTooLarge,
  kRequestsOverloaded,
  kRequestsLate,
  kRetentionPoliciesIgnored,
  kQueries,
  kQueryErrors,
  kCounterCount
};

struct Counters {
  uint64_t values[kCounterCount] = {};
  void Add(Counter counter, uint64_t amount = 1) { values[counter] += amount; }
};

/// From _PG_init: settings and shared memory.
void InitListeners();

/// The launcher's task: starts the workers that are wanted and do not run.
int StartListeners();

/// The running worker's kind; counters and rejected lines go to its place.
ListenerKind MyListener();
/// What the view shows; "" as address: not listening.
void ShowListenerState(const char *address, const char *state);
/// Adds to the shared counters, all at once, and empties `counters`.
void FlushCounters(Counters *counters);
/// Puts a line among the last rejected ones, unless there were too many in this second.
void NoteRejectedLine(const char *peer, RejectReason reason, const char *message,
                      std::string_view line);
/// Whether rejections are still noted in this second: spares the caller to name the peer.
bool NotesRejectedLines();

/// A socket bound to the address and listening where that makes sense; -1 with a message in the
/// log: not now. `bound` gets "address:port" with the port the kernel chose.
int OpenListenSocket(const char *setting, int socket_type, const char *setting_name, char *bound,
                     size_t bound_size, bool *is_loopback);

/// Between two pieces of work: interrupts, and settings after SIGHUP. True: they were read again.
bool HandleListenerSignals();
/// Whether the worker shall end: it is told to, or what it was started for has changed.
bool ListenerShallStop();

}  // namespace tsext::pg

extern "C" {
PGDLLEXPORT void tsext_listener_main(Datum argument);
}
